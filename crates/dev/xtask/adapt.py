"""Tunes the ImageNet backbone to food: python adapt.py assets/efficientnet-lite0.safetensors PHOTOS assets/efficientnet-lite0-food.safetensors

PHOTOS holds train/<index>_<class>/ and validation/<index>_<class>/; nothing else is read. Needs tensorflow-cpu 2.21,
safetensors, pillow and numpy. 12 epochs take about 25 minutes on two cores. The random generators of TensorFlow's
threads are not fixed, so another run gives slightly other weights; the bundled ones are named by their digest.

All convolutions are tuned (batch norm stays folded in), AdamW with a cosine, random crops and mirror images, mild
colour changes, label smoothing, mixup, stochastic depth, and an average of the weights over time.
"""
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import numpy as np
import tensorflow as tf
from PIL import Image
from safetensors.numpy import load_file, save_file

EPOCHS, BATCH, RATE, DECAY, SMOOTHING = 12, 32, 3e-4, 0.05, 0.1
STAGES = [(1, 1, 1, 16), (2, 2, 6, 24), (2, 2, 6, 40), (3, 2, 6, 80), (3, 1, 6, 112), (4, 2, 6, 192), (1, 1, 6, 320)]
imagenet, photos, out = sys.argv[1:4]
random = np.random.default_rng(1)

weights = load_file(imagenet)
variables = {}
for name, value in weights.items():
    value = value.astype("f4")
    if name.endswith(".weight"):
        value = value.transpose((2, 3, 0, 1) if "depthwise" in name else (2, 3, 1, 0))
    variables[name] = tf.Variable(value)
variables["classifier.weight"] = tf.Variable(tf.zeros((1280, 11)))
variables["classifier.bias"] = tf.Variable(tf.zeros(11))


def conv(name, x, stride=1):
    return tf.nn.conv2d(x, variables[name + ".weight"], stride, "SAME") + variables[name + ".bias"]


def depthwise(name, x, stride):
    strides = (1, stride, stride, 1)
    return tf.nn.depthwise_conv2d(x, variables[name + ".weight"], strides, "SAME") + variables[name + ".bias"]


def network(x, train):
    x = tf.nn.relu6(conv("stem", x, 2))
    block, channels = 0, 32
    for repeats, stride, expansion, outputs in STAGES:
        for repeat in range(repeats):
            y = x
            if expansion > 1:
                y = tf.nn.relu6(conv(f"blocks.{block}.expand", y))
            y = tf.nn.relu6(depthwise(f"blocks.{block}.depthwise", y, stride if repeat == 0 else 1))
            y = conv(f"blocks.{block}.project", y)
            if repeat > 0 or (stride == 1 and channels == outputs):
                if train:
                    drop = 0.1 * block / 16
                    y *= tf.cast(tf.random.uniform((tf.shape(y)[0], 1, 1, 1)) >= drop, tf.float32) / (1 - drop)
                y += x
            x, channels, block = y, outputs, block + 1
    features = tf.reduce_mean(tf.nn.relu6(conv("head", x)), (1, 2))
    if train:
        features = tf.nn.dropout(features, 0.3)
    return features @ variables["classifier.weight"] + variables["classifier.bias"]


def files(split):
    root = os.path.join(photos, split)
    return sorted((int(c.split("_")[0]), os.path.join(root, c, f)) for c in os.listdir(root) for f in os.listdir(os.path.join(root, c)))


def plain(path):
    image = Image.open(path).convert("RGB")
    w, h = image.size
    w, h = (256, int(256 * h / w)) if w < h else (int(256 * w / h), 256)
    image = image.resize((w, h), Image.BILINEAR)
    x, y = round((w - 224) / 2), round((h - 224) / 2)
    return (np.asarray(image.crop((x, y, x + 224, y + 224)), dtype="f4") - 127) / 128


def varied(image):
    w, h = image.size
    for _ in range(10):
        area, aspect = w * h * random.uniform(0.3, 1), np.exp(random.uniform(np.log(0.75), np.log(1.33)))
        cw, ch = int((area * aspect) ** 0.5), int((area / aspect) ** 0.5)
        if cw <= w and ch <= h:
            break
    else:
        cw = ch = min(w, h)
    x, y = random.integers(0, w - cw + 1), random.integers(0, h - ch + 1)
    a = np.asarray(image.resize((224, 224), Image.BILINEAR, box=(x, y, x + cw, y + ch)), dtype="f4")
    if random.random() < 0.5:
        a = a[:, ::-1]
    a = (a - 127) / 128
    mean = a.mean((0, 1))
    a = (a - mean) * random.uniform(0.75, 1.25) + mean * random.uniform(0.9, 1.1)
    a = a + random.uniform(-0.15, 0.15) + random.normal(0, 0.04, 3)
    grey = a.mean(2, keepdims=True)
    return (grey + (a - grey) * random.uniform(0.7, 1.3)).astype("f4")


train, validation = files("train"), files("validation")
images = [Image.open(path).convert("RGB") for _, path in train]
labels = np.array([label for label, _ in train])
seen = np.stack([plain(path) for _, path in validation])
truth = np.array([label for label, _ in validation])
names, values = list(variables), list(variables.values())
means = [tf.Variable(tf.zeros_like(v)) for v in values]
squares = [tf.Variable(tf.zeros_like(v)) for v in values]
averages = [tf.Variable(v) for v in values]


@tf.function
def step(x, target, rate, count):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(target, network(x, True)))
    gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, values), 5.0)
    first, second = 1 - 0.9**count, 1 - 0.999**count
    keep = tf.minimum(0.998, (1 + count) / (10 + count))
    for name, v, g, m, s, a in zip(names, values, gradients, means, squares, averages):
        m.assign(0.9 * m + 0.1 * g)
        s.assign(0.999 * s + 0.001 * g * g)
        decay = rate * DECAY if name.endswith(".weight") else 0.0
        speed = 20.0 if name.startswith("classifier") else 1.0
        v.assign(v * (1 - decay) - rate * speed * (m / first) / (tf.sqrt(s / second) + 1e-8))
        a.assign(keep * a + (1 - keep) * v)
    return loss


steps, count = EPOCHS * (len(images) // BATCH), 0
for epoch in range(1, EPOCHS + 1):
    begin, losses = time.time(), []
    order = random.permutation(len(images))
    for i in range(len(images) // BATCH):
        batch = order[i * BATCH : (i + 1) * BATCH]
        x = np.stack([varied(images[k]) for k in batch])
        target = np.eye(11, dtype="f4")[labels[batch]] * (1 - SMOOTHING) + SMOOTHING / 11
        if random.random() < 0.5:
            share, other = np.float32(random.beta(0.3, 0.3)), random.permutation(len(x))
            x, target = share * x + (1 - share) * x[other], share * target + (1 - share) * target[other]
        count += 1
        rate = RATE * min(1, count / 60) * 0.5 * (1 + np.cos(np.pi * count / steps))
        losses.append(float(step(tf.constant(x), tf.constant(target, tf.float32), tf.constant(rate, tf.float32), tf.constant(float(count)))))
    current = [v.numpy() for v in values]
    for v, a in zip(values, averages):
        v.assign(a)
    guesses = np.concatenate([network(tf.constant(seen[i : i + 32]), False).numpy() for i in range(0, len(seen), 32)])
    accuracy = (guesses.argmax(1) == truth).mean()
    print(f"epoch {epoch} loss {np.mean(losses):.3f} validation {accuracy:.4f} {time.time() - begin:.0f} s", flush=True)
    if epoch < EPOCHS:
        for v, c in zip(values, current):
            v.assign(c)

tuned = {}
for name, before in weights.items():
    value = variables[name].numpy()
    if name.endswith(".weight"):
        value = value.transpose((2, 3, 0, 1) if "depthwise" in name else (3, 2, 0, 1))
    tuned[name] = np.ascontiguousarray(value.astype(before.dtype))
save_file(tuned, out)
