//! `galley workflow run`, end to end: the binary, real containers, files as people write them.
//!
//! The root file system is made from the machine's own static busybox; without one the tests say so and pass.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const GALLEY: &str = env!("CARGO_BIN_EXE_galley");

struct Bench {
    dir: tempfile::TempDir,
}

/// A folder with a root file system, or `None` where there is no static busybox.
fn bench() -> Option<Bench> {
    let busybox =
        ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from).into_iter().find(|path| path.is_file());
    let is_static =
        |path: &PathBuf| Command::new("ldd").arg(path).output().is_ok_and(|said| !said.status.success());
    let Some(busybox) = busybox.filter(is_static) else {
        #[expect(clippy::disallowed_macros, reason = "a skipped test must say so")]
        {
            eprintln!("skipped: there is no static busybox on this machine");
        }
        return None;
    };
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("rootfs");
    for folder in ["bin", "tmp", "etc", "root"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    std::fs::set_permissions(root.join("tmp"), std::fs::Permissions::from_mode(0o1777)).unwrap();
    std::fs::copy(&busybox, root.join("bin/busybox")).unwrap();
    let applets = Command::new(&busybox).arg("--list").output().unwrap();
    for applet in String::from_utf8_lossy(&applets.stdout).lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    Some(Bench { dir })
}

impl Bench {
    fn command(&self, yaml: &str, more: &[&str]) -> Command {
        let file = self.dir.path().join("workflow.yaml");
        std::fs::write(&file, yaml).unwrap();
        let image = format!("*={}", self.dir.path().join("rootfs").display());
        let mut command = Command::new(GALLEY);
        command.args(["workflow", "run"]).arg(file).args(["--image", &image, "--timeout", "3m"]).args(more);
        command.env_remove("GALLEY_STATE").stdin(Stdio::null());
        command
    }

    fn run(&self, yaml: &str, more: &[&str]) -> Output {
        self.command(yaml, more).output().unwrap()
    }

    /// The Workflow at its end.
    fn json(&self, yaml: &str, more: &[&str]) -> Value {
        let output = self.run(yaml, &[&["-o", "json"], more].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)))
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn node<'a>(workflow: &'a Value, name: &str) -> &'a Value {
    let nodes = workflow["status"]["nodes"].as_object().unwrap_or_else(|| panic!("{workflow:#}"));
    let found = nodes.values().find(|node| node["displayName"] == name);
    found.unwrap_or_else(|| panic!("no node {name}: {workflow:#}"))
}

const HEAD: &str = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n";

#[test]
fn steps_results_items_and_outputs() {
    let Some(bench) = bench() else { return };
    let yaml = format!(
        "{HEAD}{}",
        r#"
metadata: {generateName: many-}
spec:
  entrypoint: main
  onExit: bye
  arguments: {parameters: [{name: who, value: nobody}]}
  templates:
  - name: main
    steps:
    - - {name: list, template: list}
    - - name: fan
        template: echo
        withParam: "{{steps.list.outputs.result}}"
        arguments: {parameters: [{name: m, value: "{{item}}"}]}
      - {name: flaky, template: flaky}
    - - {name: rest, template: rest}
    - - {name: fails, template: fails, continueOn: {failed: true}}
    - - name: last
        template: echo
        arguments: {parameters: [{name: m, value: "{{steps.fails.exitCode}} {{workflow.parameters.who}}"}]}
  - name: list
    script: {image: "busybox:1.36", command: [sh], source: "echo '[1, \"two\"]'"}
  - name: echo
    inputs: {parameters: [{name: m}]}
    container: {image: busybox, command: [sh, -c], args: ["echo '{{inputs.parameters.m}}' > /tmp/out"]}
    outputs: {parameters: [{name: out, valueFrom: {path: /tmp/out}, globalName: last}]}
  - name: flaky
    retryStrategy: {limit: 3}
    container: {image: busybox, command: [sh, -c, "[ {{retries}} -ge 1 ]"]}
  - {name: rest, suspend: {duration: "0"}}
  - name: fails
    container: {image: busybox, command: [sh, -c, "exit 7"]}
  - name: bye
    container: {image: busybox, command: [echo, "{{workflow.status}}"]}
"#
    );
    let workflow = bench.json(&yaml, &["-p", "who=somebody"]);
    assert_eq!(workflow["status"]["phase"], "Succeeded", "{:#}", workflow["status"]);
    assert_eq!(workflow["metadata"]["labels"]["workflows.argoproj.io/completed"], "true");
    assert_eq!(node(&workflow, "fan(1:two)")["outputs"]["parameters"][0]["value"], "two");
    assert_eq!(node(&workflow, "flaky(0)")["phase"], "Failed");
    assert_eq!(node(&workflow, "flaky")["phase"], "Succeeded");
    assert_eq!(node(&workflow, "fails")["outputs"]["exitCode"], "7");
    assert_eq!(node(&workflow, "last")["outputs"]["parameters"][0]["value"], "7 somebody");
    assert_eq!(workflow["status"]["outputs"]["parameters"][0]["value"], "7 somebody");
    let name = workflow["metadata"]["name"].as_str().unwrap();
    assert_eq!(node(&workflow, &format!("{name}.onExit"))["phase"], "Succeeded");
}

#[test]
fn artifacts_daemons_sidecars_and_sets() {
    let Some(bench) = bench() else { return };
    let yaml = format!(
        "{HEAD}{}",
        r#"
metadata: {name: hands}
spec:
  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - {name: make, template: make}
      - name: use
        depends: make
        template: use
        arguments:
          artifacts:
          - {name: folder, from: "{{tasks.make.outputs.artifacts.folder}}"}
          - {name: plain, from: "{{tasks.make.outputs.artifacts.plain}}"}
          - {name: raw, raw: {data: "raw"}}
      - {name: side, template: side}
      - {name: set, template: set}
      - {name: web, template: web}
      - name: get
        depends: web
        template: get
        arguments: {parameters: [{name: ip, value: "{{tasks.web.ip}}"}]}
  - name: make
    container: {image: busybox, command: [sh, -c, "mkdir -p /tmp/o/d; echo a > /tmp/o/d/a; echo p > /tmp/p"]}
    outputs:
      artifacts:
      - {name: folder, path: /tmp/o}
      - {name: plain, path: /tmp/p, archive: {none: {}}}
      - {name: not-there, path: /tmp/none, optional: true}
  - name: use
    inputs: {artifacts: [{name: folder, path: /in/folder}, {name: plain, path: /in/plain}, {name: raw, path: /in/raw}]}
    container: {image: busybox, command: [sh, -c, "cat /in/folder/d/a /in/plain /in/raw > /tmp/all"]}
    outputs: {parameters: [{name: all, valueFrom: {path: /tmp/all}}]}
  - name: side
    container: {image: busybox, command: [sh, -c, "until wget -qO /tmp/x http://127.0.0.1:9000/x; do sleep 0.05; done"]}
    outputs: {parameters: [{name: x, valueFrom: {path: /tmp/x}}]}
    sidecars:
    - {name: web, image: busybox, command: [sh, -c, "mkdir /w; echo beside > /w/x; exec httpd -f -p 9000 -h /w"]}
  - name: set
    volumes: [{name: v, emptyDir: {}}]
    containerSet:
      volumeMounts: [{name: v, mountPath: /v}]
      containers:
      - {name: first, image: busybox, command: [sh, -c, "sleep 0.2; echo 1 >> /v/f"]}
      - {name: main, image: busybox, command: [sh, -c, "echo 2 >> /v/f; cp /v/f /tmp/f"], dependencies: [first]}
    outputs: {parameters: [{name: f, valueFrom: {path: /tmp/f}}]}
  - name: web
    daemon: true
    container:
      image: busybox
      command: [sh, -c, "mkdir /w; echo served > /w/x; exec httpd -f -p 8080 -h /w"]
      readinessProbe: {httpGet: {path: /x, port: 8080}, periodSeconds: 1}
  - name: get
    inputs: {parameters: [{name: ip}]}
    container: {image: busybox, command: [wget, -qO, /tmp/x, "http://{{inputs.parameters.ip}}:8080/x"]}
    outputs: {parameters: [{name: x, valueFrom: {path: /tmp/x}}]}
"#
    );
    let workflow = bench.json(&yaml, &[]);
    assert_eq!(workflow["status"]["phase"], "Succeeded", "{:#}", workflow["status"]);
    let first = |name: &str| node(&workflow, name)["outputs"]["parameters"][0]["value"].clone();
    assert_eq!(first("use"), "a\np\nraw");
    assert_eq!(first("side"), "beside");
    assert_eq!(first("set"), "1\n2");
    assert_eq!(first("get"), "served");
    let kept = node(&workflow, "make")["outputs"]["artifacts"].as_array().unwrap().len();
    assert_eq!(kept, 2);
}

#[test]
fn a_failing_workflow_says_so() {
    let Some(bench) = bench() else { return };
    let yaml = format!(
        "{HEAD}metadata: {{generateName: bad-}}\nspec:\n  entrypoint: main\n  templates:\n  - name: main\n    container: {{image: busybox, command: [sh, -c, 'echo went wrong; exit 3']}}\n"
    );
    let output = bench.run(&yaml, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("went wrong") && said(&output).contains("exit code 3"),
        "{}",
        said(&output)
    );
    let wrong = bench.run(&yaml.replace("entrypoint: main", "entrypoint: nowhere"), &[]);
    assert_eq!(wrong.status.code(), Some(65), "{}", said(&wrong));
    assert!(said(&wrong).contains("workflow.yaml:5:"), "{}", said(&wrong));
    std::fs::write(bench.dir.path().join("workflow.yaml"), &yaml).unwrap();
    let none = Command::new(GALLEY)
        .args(["workflow", "run"])
        .arg(bench.dir.path().join("workflow.yaml"))
        .output()
        .unwrap();
    assert_eq!(none.status.code(), Some(66), "{}", said(&none));
    assert!(said(&none).contains("--image 'busybox=DIR'"), "{}", said(&none));
}

#[test]
fn an_interrupt_cleans_up_and_a_killed_run_goes_on() {
    let Some(bench) = bench() else { return };
    let yaml = format!(
        "{HEAD}{}",
        r#"
metadata: {name: long}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: once, template: once}
    - - {name: wait, template: wait}
  - name: once
    container: {image: busybox, command: [sh, -c, "date +%N > /tmp/t"]}
    outputs: {parameters: [{name: t, valueFrom: {path: /tmp/t}}]}
  - name: wait
    container: {image: busybox, command: [sleep, "2"]}
"#
    );
    let state = bench.dir.path().join("state");
    let path = state.to_str().unwrap();
    let mut child = bench
        .command(&yaml, &["--state", path])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_line(&mut child, "once Succeeded");
    child.kill().unwrap();
    child.wait().unwrap();
    let again = Command::new(GALLEY)
        .args(["workflow", "run", "--continue", "-o", "json", "--state", path, "--image"])
        .arg(format!("*={}", bench.dir.path().join("rootfs").display()))
        .output()
        .unwrap();
    let workflow: Value =
        serde_json::from_slice(&again.stdout).unwrap_or_else(|_| panic!("{}", said(&again)));
    assert_eq!(workflow["status"]["phase"], "Succeeded");
    assert_eq!(workflow["status"]["nodes"].as_object().unwrap().len(), 5);

    let folders = tempfile::tempdir().unwrap();
    let endless = yaml.replace("\"2\"", "\"1000\"");
    let mut child = bench
        .command(&endless, &[])
        .env("TMPDIR", folders.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_line(&mut child, "once Succeeded");
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(left(folders.path()), Vec::<PathBuf>::new());
}

fn left(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Reads what a child says until a line holds this.
fn wait_for_line(child: &mut std::process::Child, text: &str) {
    use std::io::{BufRead, BufReader};
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut all = String::new();
    while let Some(Ok(line)) = lines.next() {
        all.push_str(&line);
        all.push('\n');
        if line.contains(text) {
            // The rest is read by nobody; the pipe holds what little comes.
            std::mem::forget(lines);
            return;
        }
    }
    panic!("`{text}` was not said: {all}");
}
