"""Which proxy leads to the API server: the cases of golang.org/x/net/http/httpproxy, and those that clusters have."""

import pytest

from mailport.operator.proxy import proxy_for
from tests.tables import table

PROXY = "http://proxy.example.org:3128"
SERVICE = "https://10.96.0.1:443"
# As OpenShift's cluster-wide proxy gives it to pods
OPENSHIFT = ".cluster.local,.svc,10.0.0.0/16,10.128.0.0/14,127.0.0.1,172.30.0.0/16,api-int.c.example.org,localhost"


@pytest.mark.parametrize(
    "url, no_proxy, goes_through",
    table(
        {
            "nothing is excepted": (SERVICE, "", True),
            "everything is": (SERVICE, "*", False),
            "the CIDR of the Services is": (SERVICE, "10.96.0.0/12", False),
            "another CIDR is": (SERVICE, "10.0.0.0/16", True),
            "OpenShift's own": ("https://172.30.0.1:443", OPENSHIFT, False),
            "OpenShift's own, for a name": ("https://kubernetes.default.svc", OPENSHIFT, False),
            "OpenShift's own, for one outside": ("https://api.other.example.org:6443", OPENSHIFT, True),
            "spaces and empty entries do not matter": (SERVICE, " , 10.96.0.0/12 ,", False),
            "an address": (SERVICE, "10.96.0.1", False),
            "an address with its port": (SERVICE, "10.96.0.1:443", False),
            "an address with another port": (SERVICE, "10.96.0.1:6443", True),
            "an IPv6 address": ("https://[fd00::1]:443", "fd00::1", False),
            "an IPv6 address with its port": ("https://[fd00::1]:443", "[fd00::1]:443", False),
            "an IPv6 address in a CIDR": ("https://[fd00::1]:443", "fd00::/108", False),
            "a CIDR of the other family": ("https://[fd00::1]:443", "0.0.0.0/0", True),
            "a name": ("https://api.example.org:6443", "api.example.org", False),
            "a name in capitals": ("https://API.example.org:6443", "api.EXAMPLE.org", False),
            "a name with its port": ("https://api.example.org:6443", "api.example.org:6443", False),
            "a name with another port": ("https://api.example.org:6443", "api.example.org:443", True),
            "the default port": ("https://api.example.org", "api.example.org:443", False),
            "all below a name": ("https://api.example.org", "example.org", False),
            "all below, and not it": ("https://example.org", ".example.org", True),
            "all below, with a star": ("https://api.example.org", "*.example.org", False),
            "a name that ends alike": ("https://api.my-example.org", "example.org", True),
            "what is no CIDR is none": (SERVICE, "10.96.0.0/99", True),
            "this machine, by its name": ("https://localhost:6443", "", False),
            "this machine, by its address": ("https://127.0.0.1:6443", "", False),
            "this machine, by its IPv6 address": ("https://[::1]:6443", "", False),
        }
    ),
)
def test_what_no_proxy_excepts_is_reached_without(url, no_proxy, goes_through):
    environ = {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}

    assert proxy_for(url, environ) == (PROXY if goes_through else None)


@pytest.mark.parametrize(
    "environ, proxy",
    table(
        {
            "none": ({}, None),
            "in small letters": ({"https_proxy": PROXY}, PROXY),
            "in both: the capitals count": ({"HTTPS_PROXY": PROXY, "https_proxy": "http://other"}, PROXY),
            "for http alone": ({"HTTP_PROXY": PROXY}, None),
            "without a scheme": ({"HTTPS_PROXY": "proxy.example.org:3128"}, PROXY),
            "with exceptions in small letters": ({"HTTPS_PROXY": PROXY, "no_proxy": "10.0.0.0/8"}, None),
        }
    ),
)
def test_a_proxy_is_what_the_environment_says(environ, proxy):
    assert proxy_for(SERVICE, environ) == proxy


def test_for_http_it_is_another():
    assert proxy_for("http://10.96.0.1", {"HTTP_PROXY": PROXY}) == PROXY
