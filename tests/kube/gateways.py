"""InboundSmtps in a cluster, as the tests of the operator write and read them."""

import json
import time
from typing import Any

from mailport.operator import kinds
from mailport.operator.admit import ports
from mailport.operator.admit.options import Options
from mailport.operator.admit.reading import read
from mailport.operator.apply.additions import added
from mailport.operator.apply.drift import differences, dropped
from mailport.operator.children.inputs import Inputs
from mailport.operator.children.manifests import children
from mailport.operator.metadata import INSTANCE, OPERATOR, SELECTOR_LABEL
from mailport.operator.watch.observe import Seen, observe
from mailport.operator.watch.store import Key, Store
from tests.kube.cluster import Answer, Cluster
from tests.kube.operating import IMAGE, Operator
from tests.operator.making import MINIMAL

# A gateway with a child of each kind, and their names
ALL = {"autoscaling": {"minReplicas": 2, "maxReplicas": 5}, "networkPolicy": "Managed"}
NAMES = {kind.name: "mx" for kind in kinds.CHILDREN} | {"ServiceAccount": "mx-listener", "ConfigMap": "mx-c2"}

OPTIONS = Options(Inputs(IMAGE))
ROOT = "/apis/mailport.dev/v1alpha1"


class Gateways:
    """The InboundSmtps of a namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self._collection = f"{ROOT}/namespaces/{namespace}/inboundsmtps"

    def apply(self, name: str = "mx", **spec: Any) -> Answer:
        """Apply a minimal one with these fields of the spec; the API server must accept it."""
        document = {
            "apiVersion": "mailport.dev/v1alpha1",
            "kind": "InboundSmtp",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": MINIMAL | spec,
        }
        path = f"{self._collection}/{name}"
        return self.cluster.server_side_apply(path, json.dumps(document).encode()).expect_accepted()

    def get(self, name: str = "mx") -> dict[str, Any]:
        return self.cluster.ask("GET", f"{self._collection}/{name}").expect_accepted().body

    def delete(self, name: str = "mx") -> None:
        self.cluster.ask("DELETE", f"{self._collection}/{name}").expect_accepted()

    def delete_all(self) -> None:
        """Delete every one, so that no operator goes on with it while other tests run."""
        self.cluster.ask("DELETE", self._collection).expect_accepted()

    def condition(self, kind: str, name: str = "mx") -> dict[str, Any]:
        """Return a condition; one that says Absent where there is none, or one of an earlier generation."""
        found = self.get(name)
        for condition in found.get("status", {}).get("conditions", ()):
            if condition["type"] == kind and condition["observedGeneration"] == found["metadata"]["generation"]:
                return condition
        return {"status": "Absent", "reason": "Absent", "message": ""}

    def until(self, kind: str, reason: str, name: str = "mx", seconds: float = 20) -> dict[str, Any]:
        """Wait until a condition has this reason, for the spec as it is now; return the condition."""
        self.cluster.wait_for(
            f"{kind} is {reason}: {self.condition(kind, name)}",
            lambda: self.condition(kind, name)["reason"] == reason,
            seconds,
        )
        return self.condition(kind, name)

    def rendered(self, name: str = "mx", **given: Any) -> list[dict[str, Any]]:
        """Return the children that the operator renders of it: the one that has applied its Deployment."""
        body = self.get(name)
        gateway = read(body)
        given.setdefault("operator", self.applied_by(name))
        seen = self._seen(body)
        given.setdefault("numeric_target_ports", ports.numeric_target_ports(gateway.spec, seen))
        given.setdefault("ports_of_running_pods", ports.of_pods(seen))
        return list(children(gateway, OPTIONS.inputs(owner_uid=body["metadata"]["uid"], **given)))

    def _seen(self, body: dict[str, Any]) -> Seen:
        """Return what the operator sees of a gateway's pods, now."""
        key, store = Key(self.namespace, body["metadata"]["name"]), Store()
        store.put(kinds.INBOUND_SMTP, body)
        for kind in (kinds.DEPLOYMENT, kinds.REPLICA_SET, kinds.POD):
            answer = self.cluster.ask("GET", kind.path(self.namespace), labelSelector=f"{SELECTOR_LABEL}={key.name}")
            for found in answer.expect_accepted().body["items"]:
                store.put(kind, {"apiVersion": kind.api_version, "kind": kind.name, **found})
        seen = observe(store, key)
        assert seen is not None
        return seen

    def applied_by(self, name: str = "mx") -> str | None:
        """Return which operator has applied the Deployment."""
        annotations = self.child("Deployment", name).body.get("metadata", {}).get("annotations") or {}
        applied: str | None = annotations.get(INSTANCE)
        return applied

    def path(self, kind: str, name: str = "") -> str:
        """Return where an object is, or all of its kind are."""
        return next(known for known in kinds.WATCHED if known.name == kind).path(self.namespace, name)

    def child(self, kind: str, name: str = "mx") -> Answer:
        """Ask for an object by its kind."""
        return self.cluster.ask("GET", self.path(kind, name))

    def patch(self, kind: str, name: str, body: dict[str, Any] | list[Any], *, subresource: str = "") -> Answer:
        """Change an object as somebody else: by a JSON Patch where that is a list, else by a merge patch."""
        path = "/".join(part for part in (self.path(kind, name), subresource) if part)
        content_type = f"application/{'json' if isinstance(body, list) else 'merge'}-patch+json"
        content = json.dumps(body).encode()
        answer = self.cluster.ask("PATCH", path, content, content_type=content_type, fieldManager="somebody")
        return answer.expect_accepted()

    def states(self, kind: str, name: str, since: str) -> list[dict[str, Any]]:
        """Return every state of an object after a resourceVersion, as a watch from there on would have told it."""
        query = f"watch=true&resourceVersion={since}&timeoutSeconds=1&fieldSelector=metadata.name={name}"
        told = self.cluster.kubectl("get", "--raw", f"{self.path(kind)}?{query}")
        return [json.loads(line)["object"] for line in told.splitlines()]

    def until_gone(self, kind: str, name: str = "mx") -> None:
        """Wait until an object is not there."""
        self.cluster.wait_for(f"{kind} {name} is gone", lambda: self.child(kind, name).status == 404)

    def until_rolled_out(self, name: str = "mx") -> None:
        """Wait until no change is on its way."""
        self.cluster.wait_for(
            f"{name} is rolled out", lambda: self.condition("Reconciling", name)["reason"] == "Absent"
        )

    def unlike(self, name: str = "mx", **given: Any) -> list[str]:
        """Name what differs between the children in the cluster and the rendered ones."""
        found = []
        for manifest in self.rendered(name, **given):
            answer = self.child(manifest["kind"], manifest["metadata"]["name"])
            what = f"{manifest['kind']} {manifest['metadata']['name']}"
            if not answer.accepted:
                found.append(f"{what} is not there")
            else:
                found += [f"{what}{difference}" for difference in differences(manifest, answer.body)]
                found += [f"{what}{path} is left over" for path in dropped(manifest, answer.body)]
                found += [f"{what}: {operation}" for operation in added(manifest, answer.body)]
        return found

    def until_rendered(self, name: str = "mx", seconds: float = 20, **given: Any) -> None:
        """Wait until all children are as rendered."""
        self.cluster.wait_for(f"{name}'s children are as rendered", lambda: not self.unlike(name, **given), seconds)

    def identities(self) -> dict[str, str]:
        """Return the uid of a child of each kind."""
        return {kind: self.child(kind, name).body["metadata"]["uid"] for kind, name in NAMES.items()}

    def asked(self, user: str, *verbs: str) -> list[str]:
        """Return what a user asked about in this namespace so far, by these verbs."""
        return [
            event["requestURI"]
            for event in self.cluster.audit(user)
            if event["verb"] in verbs and f"/namespaces/{self.namespace}/" in event["requestURI"]
        ]

    def let_it_look(self, operator: Operator, name: str = "mx") -> None:
        """Wait until an operator has looked at all that happened so far.

        What it is told is a change that it ignores; twice, as one look may have been under way.
        """
        for _ in range(2):
            before = operator.looks()
            self.patch("InboundSmtp", name, {"metadata": {"annotations": {"example.org/now": str(time.monotonic())}}})
            self.cluster.wait_for("the operator has looked", lambda before=before: operator.looks() > before)

    def pods(self) -> list[dict[str, Any]]:
        """Return the pods of the namespace, whosever they are."""
        return list(self.cluster.ask("GET", self.path("Pod")).expect_accepted().body["items"])

    def events(self, name: str = "mx") -> list[tuple[str, str]]:
        """Return the reasons and messages of Events about a gateway, the oldest first."""
        path = f"/api/v1/namespaces/{self.namespace}/events"
        items = self.cluster.ask("GET", path).expect_accepted().body["items"]
        about = [
            item
            for item in items
            if (item["involvedObject"]["kind"], item["involvedObject"]["name"]) == ("InboundSmtp", name)
        ]
        about.sort(key=lambda item: int(item["metadata"]["resourceVersion"]))
        return [(item["reason"], item["message"]) for item in about]

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl(f"--namespace={self.namespace}", *arguments, stdin=stdin)


WRITING = ("create", "update", "patch", "delete", "deletecollection")


def applied_by_us(child: dict[str, Any]) -> dict[str, Any]:
    """Return what of an object the operator has applied (FieldsV1)."""
    managed = child["metadata"].get("managedFields", ())
    return next((entry["fieldsV1"] for entry in managed if entry["manager"] == OPERATOR), {})
