"""What operators copy: units, images, compose, the Kubernetes template and workflows are valid, safe, and
agree with the project.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prefect.utilities.templating import apply_values, find_placeholders

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = ROOT / "deployments"
TO_COPY = DEPLOYMENTS / "ci/github.yml"
OURS = sorted((ROOT / ".github/workflows").glob("*.yml"))
WORKFLOWS = [*OURS, TO_COPY]
UNITS = sorted((DEPLOYMENTS / "systemd").glob("*.service"))
KUBERNETES = "1.34"


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def program(name: str) -> Path:
    """A program of the development environment."""
    return Path(sys.executable).with_name(name)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load(text(DEPLOYMENTS / "compose.yaml"))


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return json.loads(text(DEPLOYMENTS / "kubernetes/base-job-template.json"))


def job(template: dict[str, Any], **chosen: object) -> dict[str, Any]:
    """The Job as Prefect's worker fills it in, from the defaults and what was chosen."""
    defaults = {
        name: variable["default"]
        for name, variable in template["variables"]["properties"].items()
        if "default" in variable
    }
    return apply_values(template["job_configuration"]["job_manifest"], {**defaults, "name": "run", **chosen})


def pod(template: dict[str, Any], **chosen: object) -> dict[str, Any]:
    return job(template, **chosen)["spec"]["template"]["spec"]


@pytest.fixture
def installed(tmp_path: Path) -> list[Path]:
    """The units, installed by the command in deployments/README.md for a checkout in another place than
    ~/hallmark.
    """
    checkout = tmp_path / "a checkout" / "hallmark"
    (checkout / ".venv/bin").mkdir(parents=True)
    shutil.copy("/bin/true", checkout / ".venv/bin/hallmark")
    shutil.copytree(DEPLOYMENTS / "systemd", checkout / "deployments/systemd")
    (install,) = re.findall(
        r"^for unit in .*?^done$", text(DEPLOYMENTS / "README.md"), re.MULTILINE | re.DOTALL
    )
    folder = tmp_path / ".config/systemd/user"
    folder.mkdir(parents=True)
    subprocess.run(
        ["bash", "-euc", install], check=True, cwd=checkout, env={**os.environ, "HOME": str(tmp_path)}
    )
    return sorted(folder.iterdir())


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_accepts_the_units_as_the_readme_installs_them(installed: list[Path], tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    done = run("systemd-analyze", "--user", "verify", *installed, XDG_RUNTIME_DIR=str(runtime))
    assert [path.name for path in installed] == ["hallmark-server.service", "hallmark-worker.service"]
    complaints = [
        line for line in done.stderr.splitlines() if "hallmark" in line
    ]  # not those about the machine's other units
    assert (done.returncode, complaints) == (0, [])  # a value that it ignores is a line, with exit code 0


def test_the_worker_unit_sees_the_card_and_its_lock() -> None:
    set_to = dict(
        re.findall(r"^(\w+)=(.*)$", text(DEPLOYMENTS / "systemd/hallmark-worker.service"), re.MULTILINE)
    )
    for hiding in (
        "PrivateTmp",
        "TemporaryFileSystem",
        "PrivateDevices",
        "DevicePolicy",
        "ProtectHome",
        "MemoryDenyWriteExecute",
    ):
        assert hiding not in set_to
    assert set_to["After"] == set_to["Wants"] == "hallmark-server.service"


def test_the_worker_unit_ends_the_run_before_the_worker(tmp_path: Path) -> None:
    (line,) = re.findall(
        r"^ExecStop=/bin/sh -c '(.*)'$", text(DEPLOYMENTS / "systemd/hallmark-worker.service"), re.MULTILINE
    )
    told, parent = tmp_path / "told", tmp_path / "parent.py"
    child = (
        "import signal, sys, time; signal.signal(15, lambda *_: "
        f"(time.sleep(0.5), open({str(told)!r}, 'w').close(), sys.exit())); "
        "print('ready', flush=True); time.sleep(60)"
    )
    parent.write_text(
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}]); sys.stdin.read()"
    )
    worker = subprocess.Popen([sys.executable, str(parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
        done = run("/bin/sh", "-c", line.replace("$$", "$"), MAINPID=str(worker.pid))
        assert (done.returncode, done.stderr) == (0, "")
        assert told.exists()  # it waited until the run had tidied up
        assert worker.poll() is None
    finally:
        worker.kill()
        worker.communicate()


def test_the_containerfile_has_no_known_mistake() -> None:
    done = run(program("hadolint"), DEPLOYMENTS / "Containerfile")
    assert (done.returncode, done.stdout) == (0, "")


def test_images_install_from_the_lock_and_do_not_run_as_root() -> None:
    stages = text(DEPLOYMENTS / "Containerfile").replace("\\\n", " ").split("\nFROM ")
    for stage in (stage for stage in stages if "uv sync" in stage):
        assert all("--locked --no-dev" in line for line in stage.splitlines() if "uv sync" in line)
        assert re.findall(r"^USER (.*)$", stage, re.MULTILINE) == ["10001:10001"]
    assert "--extra inference --extra training --extra gpu --extra postgres" in stages[-1]


def test_images_hold_the_whole_project_and_nothing_else() -> None:
    allowed = {line[1:] for line in text(ROOT / ".dockerignore").splitlines() if line.startswith("!")}
    project = tomllib.loads(text(ROOT / "pyproject.toml"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed_to_build = {
        "pyproject.toml",
        "uv.lock",
        project["project"]["readme"],
        *project["project"]["license-files"],
    }
    assert allowed == {*packages, *needed_to_build, "prefect.yaml"}
    assert text(ROOT / ".dockerignore").splitlines()[1] == "*"


def test_one_version_of_uv_everywhere() -> None:
    (wanted,) = re.findall(r"^UV_VERSION := (.*)$", text(ROOT / "Makefile"), re.MULTILINE)
    assert re.findall(r"astral-sh/uv:([\d.]+)", text(DEPLOYMENTS / "Containerfile")) == [wanted]
    found = [
        step["with"]["version"]
        for path in WORKFLOWS
        for step in steps(path)
        if "setup-uv" in step.get("uses", "")
    ]
    assert found
    assert set(found) == {wanted}


def test_compose_follows_its_specification() -> None:
    done = run(
        program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", DEPLOYMENTS / "compose.yaml"
    )
    assert done.returncode == 0, done.stdout


def test_compose_gives_the_worker_a_card(compose: dict[str, Any]) -> None:
    (device,) = compose["services"]["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


def test_every_server_is_started_by_hallmark_which_keeps_its_pages_on_the_machine(
    compose: dict[str, Any],
) -> None:
    image = (
        text(DEPLOYMENTS / "Containerfile").split("FROM base AS server")[1].split("FROM base AS worker")[0]
    )
    assert re.findall(r"^CMD (.*)$", image, re.MULTILINE) == ['["hallmark", "server", "--host", "0.0.0.0"]']
    assert not {"command", "entrypoint"} & compose["services"]["server"].keys()
    assert not [
        name
        for name in compose["services"]["server"]["environment"]
        if "_UI_V2" in name or "_PROMOTIONAL" in name
    ]
    unit = text(DEPLOYMENTS / "systemd/hallmark-server.service")
    assert 'ExecStart="%h/hallmark/.venv/bin/hallmark" server' in unit


def test_compose_publishes_to_this_machine_only(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_starts_each_service_when_the_one_before_is_healthy(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["server"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert services["worker"]["depends_on"] == {"server": {"condition": "service_healthy"}}
    assert "healthcheck" in services["database"]
    assert (
        "\nHEALTHCHECK "
        in text(DEPLOYMENTS / "Containerfile").split("FROM base AS server")[1].split("FROM base AS worker")[0]
    )


def test_compose_builds_targets_that_exist(compose: dict[str, Any]) -> None:
    builds = [service["build"] for service in compose["services"].values() if "build" in service]
    targets = set(re.findall(r"^FROM \S+ AS (\w+)$", text(DEPLOYMENTS / "Containerfile"), re.MULTILINE))
    assert len(builds) == 2
    for build in builds:
        context = (DEPLOYMENTS / build["context"]).resolve()
        assert context == ROOT
        assert (context / build["dockerfile"]).is_file()
        assert build["target"] in targets


def test_compose_names_what_is_missing_instead_of_taking_an_empty_password() -> None:
    content = text(DEPLOYMENTS / "compose.yaml")
    asked = re.findall(r"\$\{(\w+):\?[^}]*\.env\.example\}", content)
    assert set(asked) == {"HALLMARK_DATABASE_PASSWORD", "HALLMARK_SIGN_IN"}
    assert len(asked) == len(
        re.findall(r"\$\{?HALLMARK_(?:DATABASE_PASSWORD|SIGN_IN)", content)
    )  # no place without the question
    known = set(re.findall(r"^(?:# )?([A-Z_]+)=", text(DEPLOYMENTS / ".env.example"), re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+)", content)) == known


def test_the_example_of_secrets_holds_none_and_the_real_file_stays_out_of_git() -> None:
    example = dict(re.findall(r"^(\w+)=(.*)$", text(DEPLOYMENTS / ".env.example"), re.MULTILINE))
    assert example == {"HALLMARK_DATABASE_PASSWORD": "", "HALLMARK_SIGN_IN": ""}
    assert ".env" in text(ROOT / ".gitignore").splitlines()


def test_kubernetes_accepts_the_job(template: dict[str, Any]) -> None:
    kubernetes_validate.validate(job(template), KUBERNETES, strict=True)
    chosen = {
        "image_pull_secrets": [{"name": "mine"}],
        "node_selector": {"zone": "a"},
        "gpu_count": 2,
        "memory": "48Gi",
    }
    kubernetes_validate.validate(job(template, **chosen), KUBERNETES, strict=True)


def test_kubernetes_accepts_namespace_and_volume(template: dict[str, Any]) -> None:
    namespace, claim = yaml.safe_load_all(text(DEPLOYMENTS / "kubernetes/namespace.yaml"))
    for manifest in (namespace, claim):
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    assert (
        namespace["metadata"]["name"]
        == claim["metadata"]["namespace"]
        == job(template)["metadata"]["namespace"]
    )
    assert pod(template)["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def test_a_kubernetes_job_gets_the_cards_it_asks_for(template: dict[str, Any]) -> None:
    assert pod(template)["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod(template, gpu_count=2)["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 2


def test_a_kubernetes_job_runs_once_and_without_rights(template: dict[str, Any]) -> None:
    spec = job(template)["spec"]
    assert (spec["backoffLimit"], spec["completions"], spec["parallelism"]) == (0, 1, 1)
    assert spec["ttlSecondsAfterFinished"] > 0
    assert pod(template)["restartPolicy"] == "Never"
    assert pod(template)["automountServiceAccountToken"] is False
    assert pod(template)["securityContext"]["runAsNonRoot"] is True
    assert pod(template)["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }


def test_a_kubernetes_job_takes_secrets_from_the_cluster(template: dict[str, Any]) -> None:
    environment = {variable["name"]: variable for variable in pod(template)["containers"][0]["env"]}
    for name, key in {"HALLMARK_REGISTRY_URL": "registry-url", "HF_TOKEN": "hf-token"}.items():
        assert "value" not in environment[name]
        assert environment[name]["valueFrom"]["secretKeyRef"]["key"] == key
        assert f"--from-literal={key}=" in text(DEPLOYMENTS / "README.md")


def test_prefect_finds_what_it_needs_in_the_template(template: dict[str, Any]) -> None:
    variables = template["variables"]["properties"]
    assert {placeholder.name for placeholder in find_placeholders(template["job_configuration"])} == set(
        variables
    )
    assert template["job_configuration"]["env"] == "{{ env }}"  # else the variables of prefect.yaml are lost
    assert (
        pod(template)["containers"][0]["name"] == "prefect-job"
    )  # prefect-kubernetes refuses every other name


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for each in yaml.safe_load(text(path))["jobs"].values() for step in each["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_github_accepts_the_workflow(path: Path) -> None:
    for schema in ("vendor.github-workflows", "custom.github-workflows-require-timeout"):
        done = run(program("check-jsonschema"), "--builtin-schema", schema, path)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_and_no_script_holds_an_expression(path: Path) -> None:
    assert yaml.safe_load(text(path))["permissions"] == {"contents": "read"}
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []
    assert all(
        step["with"]["persist-credentials"] is False
        for step in steps(path)
        if "checkout" in step.get("uses", "")
    )


def test_a_workflow_to_copy_may_write_a_comment_and_runs_nothing_of_strangers() -> None:
    (job,) = yaml.safe_load(text(TO_COPY))["jobs"].values()
    assert job["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert "head.repo.full_name == github.repository" in job["if"]


def test_gitlab_accepts_the_pipeline() -> None:
    schema = ("--builtin-schema", "vendor.gitlab-ci")
    done = run(program("check-jsonschema"), *schema, DEPLOYMENTS / "ci/gitlab.yml")
    assert done.returncode == 0, done.stdout


def test_ci_on_github_runs_what_ci_runs() -> None:
    assert "run: .ci/run\n" in text(ROOT / ".github/workflows/ci.yml")
    assert os.access(ROOT / ".ci/run", os.X_OK)


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_a_workflow_calls_targets_that_the_makefile_has(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text(ROOT / "Makefile"), re.MULTILINE))
    called = {
        target
        for step in steps(path)
        for target in re.findall(r"^make ([a-z-]+)", step.get("run", ""), re.MULTILINE)
    }
    assert called <= targets
    assert called or path.name == "experiment.yml"


def started_experiment(tmp_path: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run the last step of experiment.yml with a `prefect` that prints its arguments, one a line."""
    prefect = tmp_path / ".venv/bin/prefect"
    prefect.parent.mkdir(parents=True)
    prefect.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 7\n')
    prefect.chmod(0o755)
    script = steps(ROOT / ".github/workflows/experiment.yml")[-1]["run"]
    environment = {**os.environ, "STEPS": "400", "CONFIG": "{}", "REQUIRE_PROMOTION": "true", **inputs}
    return subprocess.run(
        ["bash", "-ec", script], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )


needs_jq = pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed; GitHub's runners have it")


@needs_jq
def test_the_experiment_workflow_asks_prefect_and_ends_as_prefect_does(tmp_path: Path) -> None:
    done = started_experiment(
        tmp_path,
        STEPS="60",
        CONFIG='{"train": {"learning_rate": 2e-5}, "model_name": "it\'s $(touch x) `y`"}',
    )
    *arguments, parameter = done.stdout.splitlines()
    assert arguments == ["deployment", "run", "experiment/experiment", "--watch", "--param"]
    assert json.loads(parameter.removeprefix("config=")) == {
        "train": {"steps": 60, "learning_rate": 2e-5},
        "model_name": "it's $(touch x) `y`",
        "fail_unless_promoted": True,
    }
    assert done.returncode == 7
    assert [path.name for path in tmp_path.iterdir()] == [".venv"]


@needs_jq
def test_the_experiment_workflow_refuses_broken_json_before_prefect_is_asked(tmp_path: Path) -> None:
    done = started_experiment(tmp_path, CONFIG='{"train": ')
    assert done.returncode not in (0, 7)
    assert done.stdout == ""


def test_the_experiment_workflow_starts_a_deployment_that_exists_with_settings_that_exist() -> None:
    from experiments.config import ExperimentConfig

    named = re.findall(
        r"prefect deployment run (\S+)", steps(ROOT / ".github/workflows/experiment.yml")[-1]["run"]
    )
    deployments = yaml.safe_load(text(ROOT / "prefect.yaml"))["deployments"]
    assert set(named) <= {f"{each['entrypoint'].split(':')[1]}/{each['name']}" for each in deployments}
    assert ExperimentConfig.model_validate(
        {"train": {"steps": 60}, "fail_unless_promoted": True}
    ).fail_unless_promoted


def test_the_experiment_workflow_takes_the_same_inputs_from_people_and_from_workflows() -> None:
    triggers = yaml.safe_load(text(ROOT / ".github/workflows/experiment.yml"))[
        True
    ]  # YAML reads the key `on` as true
    assert triggers["workflow_dispatch"]["inputs"] == triggers["workflow_call"]["inputs"]


@pytest.mark.parametrize(("schema", "name"), [("forms", "bug"), ("forms", "feature"), ("config", "config")])
def test_github_accepts_the_issue_templates(schema: str, name: str) -> None:
    template = ROOT / f".github/ISSUE_TEMPLATE/{name}.yml"
    done = run(program("check-jsonschema"), "--builtin-schema", f"vendor.github-issue-{schema}", template)
    assert done.returncode == 0, done.stdout


def test_the_fault_list_names_tests_that_exist() -> None:
    named = re.findall(r"`([\w/]+\.py)?::(test_\w+)`", text(ROOT / "tests/faults/README.md"))
    assert len(named) > 100
    file = ""
    for path, name in named:
        file = path or file
        assert f"def {name}(" in text(ROOT / "tests" / file), f"{file}::{name}"
