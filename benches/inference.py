#!/usr/bin/env python3
"""Times galley-nn beside ONNX Runtime: the same graphs, inputs and threads, taking turns in one run.

    cargo build --release -p galley-nn --example bench
    python3 -m venv venv && venv/bin/pip install onnxruntime numpy
    venv/bin/python benches/inference.py target/release/examples/bench [seconds]

Prints one line for each graph, number of threads and batch: the median of each, and the ratio of the two (ours /
theirs) as the median over the turns, so that a machine that is busy for a while slows both.
"""
import json, os, statistics, subprocess, sys, tempfile, time

import numpy as np
import onnxruntime as ort

TURN = 0.25


def session(path, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait would take the processor from whoever's turn it is.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Ours:
    def __init__(self, binary, path, isa):
        self.isa = isa
        self.process = subprocess.Popen([binary, "serve", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, threads, batch, rounds):
        self.process.stdin.write(f"{threads} {batch} {rounds} {self.isa}\n")
        self.process.stdin.flush()
        times, first = self.process.stdout.readline().split("|")
        self.used = times.split()[0]
        self.first = [float(value) for value in first.split()]
        return [float(value) for value in times.split()[1:]]


def main():
    binary, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 8
    isa = os.environ.get("ISA", "best")
    folder = tempfile.mkdtemp()
    subprocess.run([binary, "write", folder], check=True)
    for name, side in (("mobilenet_v2", 224), ("efficientnet_lite0", 224)):
        path = f"{folder}/{name}.onnx"
        ours = Ours(binary, path, isa)
        for threads in (1, 2):
            theirs = session(path, threads)
            for batch in (1, 8):
                count = batch * 3 * side * side
                x = (((np.arange(count) * 7919) % 2003) / np.float32(1001.5) - 1).astype(np.float32)
                feed = {"input": x.reshape(batch, 3, side, side)}
                answer = theirs.run(None, feed)[0].ravel()
                ours.run(threads, batch, 2)
                difference = max(abs(a - b) for a, b in zip(ours.first, answer)) / max(1, np.abs(answer).max())
                assert difference < 1e-4, difference
                all_ours, all_theirs, ratios, end = [], [], [], time.time() + seconds
                while time.time() < end:
                    times, stop = [], time.perf_counter() + TURN
                    while time.perf_counter() < stop:
                        begin = time.perf_counter()
                        theirs.run(None, feed)
                        times.append((time.perf_counter() - begin) * 1000)
                    mine = ours.run(threads, batch, len(times))
                    ratios.append(statistics.median(mine) / statistics.median(times))
                    all_ours += mine
                    all_theirs += times
                print(json.dumps({
                    "graph": name, "isa": ours.used, "threads": threads, "batch": batch,
                    "ours_p50_ms": round(statistics.median(all_ours), 3),
                    "onnxruntime_p50_ms": round(statistics.median(all_theirs), 3),
                    "ratio": round(statistics.median(ratios), 3), "turns": len(ratios),
                    "best_ratio": round(min(all_ours) / min(all_theirs), 3),
                }), flush=True)
        ours.process.stdin.close()


main()
