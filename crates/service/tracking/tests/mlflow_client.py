"""Drives a tracking server with the real MLflow client; prints what was checked.

Needs mlflow-skinny or mlflow, version 3.x. The server is named by MLFLOW_TRACKING_URI. Every check is a call that the
pipeline's users make; a failed one ends the script with a traceback.
"""

import math
import os
import tempfile

import mlflow
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

checks = 0


def check(condition, what):
    global checks
    assert condition, what
    checks += 1


def refused(call, code, part=""):
    try:
        call()
    except MlflowException as error:
        check(error.error_code == code, f"{error.error_code} instead of {code}: {error}")
        check(part in str(error), f"{part!r} is not in {error}")
    else:
        raise AssertionError(f"not refused with {code}")


client = MlflowClient()
unique = os.urandom(4).hex()


def experiments():
    experiment = mlflow.set_experiment(f"food11-{unique}")
    check(client.get_experiment_by_name(experiment.name).experiment_id == experiment.experiment_id, "by name")
    check(client.get_experiment_by_name("absent") is None, "absent by name")
    other = client.create_experiment(f"other-{unique}", tags={"team": "ml"})
    client.set_experiment_tag(other, "stage", "draft")
    found = client.search_experiments(filter_string=f"tags.team = 'ml' AND name LIKE '%{unique}'")
    check([e.experiment_id for e in found] == [other], "search experiments")
    check(found[0].tags["stage"] == "draft", "experiment tag")
    refused(lambda: client.create_experiment(f"other-{unique}"), "RESOURCE_ALREADY_EXISTS")
    client.rename_experiment(other, f"renamed-{unique}")
    client.delete_experiment(other)
    check(client.get_experiment(other).lifecycle_stage == "deleted", "deleted experiment")
    client.restore_experiment(other)
    check(client.get_experiment(other).name == f"renamed-{unique}", "restored experiment")
    refused(lambda: client.get_experiment("999999"), "RESOURCE_DOES_NOT_EXIST")
    return experiment.experiment_id


def runs(experiment):
    with mlflow.start_run(run_name="train", tags={"release": unique}) as run:
        mlflow.log_param("lr", 0.1)
        mlflow.log_params({"epochs": 5, "model": "head"})
        for step in range(3):
            mlflow.log_metric("accuracy", 0.5 + step / 10, step=step)
        mlflow.log_metrics({"loss": 1.5, "broken": float("nan"), "endless": float("inf")})
        mlflow.set_tag("owner", "ada")
        mlflow.log_text("first line\nsecond line", "notes/readme.txt")
        mlflow.log_dict({"classes": 11}, "contract.json")
    run_id = run.info.run_id
    check(len(run_id) == 32, "run id")
    run = client.get_run(run_id)
    check(run.info.status == "FINISHED" and run.info.end_time >= run.info.start_time, "finished")
    check(run.info.run_name == "train", "run name")
    check(run.data.params == {"lr": "0.1", "epochs": "5", "model": "head"}, "params")
    check(abs(run.data.metrics["accuracy"] - 0.7) < 1e-9, "latest metric")
    check(math.isnan(run.data.metrics["broken"]), "nan")
    check(run.data.metrics["endless"] > 1e308, "infinity is the largest number")
    check(run.data.tags["owner"] == "ada" and run.data.tags["release"] == unique, "tags")
    history = client.get_metric_history(run_id, "accuracy")
    check([m.step for m in history] == [0, 1, 2], "history")
    refused(lambda: client.log_param(run_id, "lr", "0.2"), "INVALID_PARAMETER_VALUE", "Changing param values")
    now = history[0].timestamp
    client.log_batch(
        run_id,
        metrics=[Metric("batch", n, now, n) for n in range(500)],
        params=[Param(f"p{n}", str(n)) for n in range(100)],
        tags=[RunTag(f"t{n}", str(n)) for n in range(100)],
    )
    check(len(client.get_metric_history(run_id, "batch")) == 500, "batch of metrics")
    check(client.get_run(run_id).data.params["p99"] == "99", "batch of params")
    client.delete_tag(run_id, "t0")
    check("t0" not in client.get_run(run_id).data.tags, "deleted tag")
    refused(lambda: client.delete_tag(run_id, "t0"), "RESOURCE_DOES_NOT_EXIST")
    client.update_run(run_id, name="renamed")
    check(client.get_run(run_id).info.run_name == "renamed", "renamed run")
    child = client.create_run(experiment, run_name="child", tags={"mlflow.parentRunId": run_id})
    client.set_terminated(child.info.run_id, "FAILED")
    check(client.get_run(child.info.run_id).info.status == "FAILED", "failed run")
    return run_id, child.info.run_id


def searches(experiment, run_id, child):
    def found(text, **options):
        return [run.info.run_id for run in client.search_runs([experiment], text, **options)]

    check(found("metrics.accuracy > 0.6 and params.model = 'head'") == [run_id], "metrics and params")
    check(found(f"tags.release = '{unique}'") == [run_id], "tags")
    check(found("tags.`mlflow.runName` ILIKE 'REN%'") == [run_id], "quoted key, ILIKE")
    check(found("attributes.status = 'FAILED'") == [child], "attributes")
    check(found(f"run_id IN ('{run_id}', 'none')") == [run_id], "IN")
    check(found("params.lr IS NULL") == [child], "IS NULL")
    check(found("metrics.accuracy != 0.1 AND params.lr LIKE '0.%'") == [run_id], "LIKE")
    check(found("", order_by=["metrics.accuracy DESC"]) == [run_id, child], "order, absent last")
    check(found("", order_by=["attributes.start_time ASC"]) == [run_id, child], "order by start")
    pages = client.search_runs([experiment], max_results=1, order_by=["attributes.start_time ASC"])
    check(pages.token is not None, "a token for the next page")
    rest = client.search_runs(
        [experiment], max_results=1, order_by=["attributes.start_time ASC"], page_token=pages.token
    )
    check([pages[0].info.run_id, rest[0].info.run_id] == [run_id, child] and rest.token is None, "pages")
    refused(lambda: found("colour = 'red'"), "INVALID_PARAMETER_VALUE", "Invalid attribute key")
    refused(lambda: found("params.a = 'x' OR params.b = 'y'"), "INVALID_PARAMETER_VALUE", "Invalid clause")
    client.delete_run(child)
    check(found("") == [run_id], "deleted runs are not found")
    deleted = client.search_runs([experiment], run_view_type=ViewType.DELETED_ONLY)
    check([run.info.run_id for run in deleted] == [child], "deleted runs are found when asked for")
    client.restore_run(child)
    check(len(found("")) == 2, "restored run")
    frame = getattr(mlflow, "search_runs")(experiment_ids=[experiment], output_format="list")
    check(len(frame) == 2, "fluent search")


def artifacts(run_id):
    check(mlflow.artifacts.load_text(f"runs:/{run_id}/notes/readme.txt").endswith("second line"), "load_text")
    check(mlflow.artifacts.load_dict(f"runs:/{run_id}/contract.json") == {"classes": 11}, "load_dict")
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(os.path.join(folder, "deep", "er"))
        payload = os.urandom(2_000_000)
        with open(os.path.join(folder, "deep", "er", "weights with space.bin"), "wb") as file:
            file.write(payload)
        client.log_artifacts(run_id, folder, "model")
        names = [f.path for f in client.list_artifacts(run_id)]
        check(names == ["contract.json", "model", "notes"], f"listing {names}")
        inner = client.list_artifacts(run_id, "model/deep/er")
        check(inner[0].path == "model/deep/er/weights with space.bin", "inner listing")
        check(inner[0].file_size == len(payload) and not inner[0].is_dir, "size")
        check(client.list_artifacts(run_id, "contract.json") == [], "listing a file")
        back = client.download_artifacts(run_id, "model", os.path.join(folder, ".."))
        with open(os.path.join(back, "deep", "er", "weights with space.bin"), "rb") as file:
            check(file.read() == payload, "the same bytes came back")


def datasets(experiment, run_id):
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.data.http_dataset_source import HTTPDatasetSource

    dataset = MetaDataset(HTTPDatasetSource("https://example.org/food-11.zip"), name="food-11")
    with mlflow.start_run(run_id=run_id):
        mlflow.log_input(dataset, context="training")
    inputs = client.get_run(run_id).inputs.dataset_inputs
    check([i.dataset.name for i in inputs] == ["food-11"], "data set")
    check(inputs[0].tags[0].value == "training", "context")
    found = client.search_runs([experiment], "dataset.name = 'food-11' AND dataset.context = 'training'")
    check([run.info.run_id for run in found] == [run_id], "search by data set")


def logged_models(experiment, run_id):
    class Model(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input

    with mlflow.start_run(run_id=run_id):
        info = mlflow.pyfunc.log_model(
            name="head", python_model=Model(), pip_requirements=[], params={"classes": "11"}
        )
    check(info.model_id.startswith("m-"), "model id")
    model = client.get_logged_model(info.model_id)
    check(str(model.status) == "READY" and model.source_run_id == run_id, "logged model is ready")
    check(model.params["classes"] == "11", "logged model's params")
    client.set_logged_model_tags(info.model_id, {"colour": "red"})
    client.log_metric(run_id, "score", 0.9, model_id=info.model_id)
    found = client.search_logged_models([experiment], filter_string="name = 'head' AND metrics.score > 0.5")
    check([m.model_id for m in found] == [info.model_id], "search logged models")
    check(found[0].tags["colour"] == "red", "logged model's tag")
    outputs = client.get_run(run_id).outputs.model_outputs
    check([m.model_id for m in outputs] == [info.model_id], "the run's outputs")
    loaded = mlflow.pyfunc.load_model(info.model_uri)
    check(loaded.metadata.model_id == info.model_id, "the model can be loaded")
    return info


def registry(run_id, info):
    name = f"food11-{unique}"
    version = mlflow.register_model(info.model_uri, name, tags={"release": unique})
    check(str(version.version) == "1" and version.run_id == run_id, "registered")
    refused(lambda: client.create_registered_model(name), "RESOURCE_ALREADY_EXISTS")
    client.log_text(run_id, "weights", "exported/model.onnx")
    root = client.get_run(run_id).info.artifact_uri
    second = client.create_model_version(name, f"{root}/exported", run_id=run_id, description="by hand")
    check(str(second.version) == "2" and second.status == "READY", "second version")
    third = mlflow.register_model(f"runs:/{run_id}/head", name)
    check(str(third.version) == "3", "registered from a run")
    client.set_registered_model_alias(name, "production", "1")
    client.set_registered_model_alias(name, "production", "2")
    found = client.get_model_version_by_alias(name, "production")
    check(str(found.version) == "2" and found.aliases == ["production"], "alias")
    check(client.get_registered_model(name).aliases == {"production": "2"}, "aliases of the model")
    client.delete_registered_model_alias(name, "production")
    refused(lambda: client.get_model_version_by_alias(name, "production"), "INVALID_PARAMETER_VALUE", "not found")
    client.set_registered_model_alias(name, "staging", "2")
    client.set_model_version_tag(name, "2", "gate", "pass")
    client.update_model_version(name, "2", "better")
    check(client.get_model_version(name, "2").description == "better", "description")
    tagged = client.search_model_versions(f"name = '{name}' and tags.gate = 'pass'")
    check([str(v.version) for v in tagged] == ["2"], "search versions by tag")
    ordered = client.search_model_versions(f"name = '{name}'", order_by=["version_number ASC"])
    check([str(v.version) for v in ordered] == ["1", "2", "3"], "search versions in order")
    check(len(client.search_model_versions(f"run_id = '{run_id}'")) == 3, "search versions by run")
    client.delete_model_version_tag(name, "2", "gate")
    client.set_registered_model_tag(name, "team", "ml")
    models = client.search_registered_models(f"name ILIKE 'FOOD11-{unique}'")
    check([m.name for m in models] == [name] and models[0].tags["team"] == "ml", "search models")
    client.delete_registered_model_tag(name, "team")
    check(client.get_model_version_download_uri(name, "2") == f"{root}/exported", "download uri")
    local = mlflow.artifacts.download_artifacts(f"models:/{name}@staging/model.onnx")
    check(open(local).read() == "weights", "download by alias")
    check([str(v.version) for v in client.get_latest_versions(name, ["None"])] == ["3"], "latest versions")
    moved = client.transition_model_version_stage(name, "1", "Production", archive_existing_versions=True)
    check(moved.current_stage == "Production", "stage")
    client.delete_model_version(name, "3")
    refused(lambda: client.get_model_version(name, "3"), "RESOURCE_DOES_NOT_EXIST")
    client.rename_registered_model(name, f"{name}-new")
    check(str(client.get_model_version_by_alias(f"{name}-new", "staging").version) == "2", "renamed")
    client.delete_registered_model(f"{name}-new")
    refused(lambda: client.get_registered_model(f"{name}-new"), "RESOURCE_DOES_NOT_EXIST")


experiment = experiments()
run_id, child = runs(experiment)
searches(experiment, run_id, child)
artifacts(run_id)
datasets(experiment, run_id)
info = logged_models(experiment, run_id)
registry(run_id, info)
print(f"mlflow {mlflow.__version__}: all checks passed, {checks} of {checks}")
