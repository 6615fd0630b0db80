"""What an operator allows by `--allow`, and what of a spec it does not."""

import pytest

from mailport.operator.permitted import ALLOWANCES, DEFAULT, not_permitted, parse
from tests.operator.making import CORPUS, gateway, read
from tests.tables import table

NODE_PORT = {"listeners": [{"name": "a", "port": 25}, {"name": "b", "port": 587, "nodePort": 30587}]}


@pytest.mark.parametrize(
    "text, allowed",
    table(
        {
            "one name": ("image", {"image"}),
            "several, with spaces around": (" image, hostNetwork ", {"image", "hostNetwork"}),
            "the same twice": ("image,image", {"image"}),
            "an empty text allows nothing": ("", set()),
            "nor does a blank one": ("  ", set()),
            "all": (",".join(ALLOWANCES), set(ALLOWANCES)),
            "the default, written out": ("loadBalancer,nodePort", DEFAULT),
        }
    ),
)
def test_names_are_read(text, allowed):
    assert parse(text) == allowed


@pytest.mark.parametrize(
    "text, unknown",
    table(
        {
            "a name nobody knows": ("image,host", "'host'"),
            "another case": ("Image", "'Image'"),
            "a comma too many": ("image,", "''"),
            "several are all named": ("one,image,two", "'one', 'two'"),
        }
    ),
)
def test_an_unknown_name_is_an_error_that_says_which_there_are(text, unknown):
    known = "hostNetwork, nodePort, loadBalancer, localDestinations, tolerations, priorityClass, serviceAccount, image"
    with pytest.raises(ValueError, match=f"^{unknown}: not one of {known}$"):
        parse(text)


@pytest.mark.parametrize(
    "spec, allowance, path",
    table(
        {
            "a node's network": ({"network": {"hostNetwork": True}}, "hostNetwork", "spec.network.hostNetwork"),
            "ports of every node": ({"service": {"type": "NodePort"}}, "nodePort", "spec.service.type"),
            "a load balancer": ({"service": {"type": "LoadBalancer"}}, "loadBalancer", "spec.service.type"),
            "a chosen port of every node, behind a load balancer that is allowed": (
                NODE_PORT | {"service": {"type": "LoadBalancer"}},
                "nodePort",
                "spec.listeners[1].nodePort",
            ),
            "tainted nodes": (
                {"pod": {"tolerations": [{"operator": "Exists"}]}},
                "tolerations",
                "spec.pod.tolerations",
            ),
            "precedence over others' pods": (
                {"pod": {"priorityClassName": "system-node-critical"}},
                "priorityClass",
                "spec.pod.priorityClassName",
            ),
            "another's identity": (
                {"pod": {"serviceAccountName": "default"}},
                "serviceAccount",
                "spec.pod.serviceAccountName",
            ),
            "a program of the author's": ({"pod": {"image": "example"}}, "image", "spec.pod.image"),
        }
    ),
)
def test_a_field_needs_its_allowance_and_no_other(spec, allowance, path):
    """The message has the option that would allow it."""
    made = gateway(**spec)
    others = frozenset(ALLOWANCES) - {allowance}

    assert [str(fault) for fault in not_permitted(made.spec, others)] == [
        f"{path}: this operator does not allow it: --allow {allowance}"
    ]
    assert list(not_permitted(made.spec, frozenset(ALLOWANCES))) == []


def test_every_field_is_named():
    """A nodePort and the type that it needs are two."""
    made = gateway(**NODE_PORT, service={"type": "NodePort"}, network={"hostNetwork": True})

    assert [fault.path for fault in not_permitted(made.spec, frozenset())] == [
        "spec.listeners[1].nodePort",
        "spec.network.hostNetwork",
        "spec.service.type",
    ]


@pytest.mark.parametrize("spec", table({"ClusterIP": {}, "None": {"service": {"type": "None"}}}))
def test_what_stays_in_the_cluster_needs_nothing(spec):
    """Nor does what a pod of the author's own could have."""
    pod = {"resources": {"limits": {"cpu": "2"}}, "nodeSelector": {"disk": "ssd"}, "annotations": {"a": "b"}}

    assert list(not_permitted(gateway(**spec, pod=pod).spec, frozenset())) == []


def test_documents_of_the_corpus_ask_for_what_is_known():
    """By default all but these are served."""
    refused = {path.stem for path in CORPUS if list(not_permitted(read(path).spec, DEFAULT))}

    assert refused == {"contract", "host-network", "pod-settings"}
