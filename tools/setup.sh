#!/bin/sh
# Installs the programs that the tests talk to Mailport with: real clients and servers, from Debian. As root; else it
# prints the one line to run. Starts no service, now or at the next boot.
# `setup.sh bench` installs also what is measured beside Mailport, and by no test.
set -eu

# swaks speaks TLS through Net::SSLeay, and IPv6 through IO::Socket::INET6; postfix brings smtp-source and smtp-sink;
# dovecot serves what Mailport wrote, and takes mail by LMTP
packages="postfix swaks libnet-ssleay-perl libio-socket-inet6-perl dovecot-imapd dovecot-lmtpd curl openssl strace"
# the job in docs/gitops.md asks git what changed; Go and buildah trust what Debian trusts
packages="$packages git ca-certificates"
# disks whose power fails under Mailport
packages="$packages e2fsprogs xfsprogs mount"
# a node for tests/e2e, its images, and catatonit as the container that holds a pod's namespaces
packages="$packages containernetworking-plugins iptables ipset conntrack iproute2 buildah debootstrap catatonit"
# Docker's own packages have these two, under another name that excludes Debian's
command -v containerd >/dev/null || packages="$packages containerd"
command -v runc >/dev/null || packages="$packages runc"
# signs messages whose signatures the tests verify
packages="$packages opendkim"
# a proxy in front of the node
packages="$packages haproxy"
# a webhook's receiver in JavaScript
packages="$packages nodejs"
# promtool, for the chart's alert rules
packages="$packages prometheus"
# Argo CD's health check speaks Lua 5.1, as Argo CD does
packages="$packages lua5.1"
# compiles what the image has compiled (tools/compiled.sh)
packages="$packages gcc libc6-dev"
python3 -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null ||
  packages="$packages python3-dev"
# Postfix's milters for SPF and DMARC, and a DNS server for them: tests/bench/milters.py
[ "${1:-}" != bench ] || packages="$packages pyspf-milter opendmarc dnsmasq-base"
python3 -c 'import venv, ensurepip' 2>/dev/null || packages="$packages python3-venv"

if ! command -v dpkg-query >/dev/null; then
  echo "setup knows Debian only; install the like of: $packages"
  [ -z "${CI:-}" ]
  exit
fi
missing=
for package in $packages; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
  echo "the tests need$missing; to install them, run as root: make -C $(cd "$(dirname "$0")/.." && pwd) setup"
  [ -z "${CI:-}" ] # in CI nothing may pass by being left out
  exit
fi

# Debian starts what it installs, unless this file says no: 101 is "forbidden" (invoke-rc.d(8))
policy=/usr/sbin/policy-rc.d
log=$(mktemp)
restore() {
  rm -f "$policy" "$log"
  [ ! -e "$policy.mailport" ] || mv "$policy.mailport" "$policy"
}
[ ! -e "$policy" ] || mv "$policy" "$policy.mailport"
trap restore EXIT
trap 'exit 1' HUP INT TERM
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
quietly() { "$@" </dev/null >"$log" 2>&1 || { cat "$log" >&2; exit 1; }; }
echo "installing$missing"
quietly apt-get update
case "$missing" in
  *postfix*) # without a main.cf, Postfix would not start: the tests write their own
    [ -e /etc/postfix/main.cf ] || echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
    ;;
esac
# --no-remove: a machine that has another mail server keeps it, and is told so
# shellcheck disable=SC2086 # several words are meant
quietly apt-get install --yes --no-install-recommends --no-remove $missing
if command -v systemctl >/dev/null; then
  for unit in postfix dovecot containerd haproxy prometheus opendkim opendmarc pyspf-milter; do
    case "$missing" in *"$unit"*) quietly systemctl disable "$unit" ;; esac
  done
fi
