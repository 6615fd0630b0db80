#!/bin/sh
# Copies crds/ into the chart, renders deploy/ from the chart, and lints it. `tools/chart.sh --print` only prints what
# deploy/operator.yaml should hold. Needs helm: tools/kube.sh helm
set -eu
cd "$(dirname "$0")/.."
helm=$(tools/kube.sh --where helm) || { echo "helm has not been built: tools/kube.sh helm" >&2; exit 1; }

# The chart's defaults, but for the CustomResourceDefinition, which lies beside it, and for what is Helm's own
operator() {
  rendered=$("$helm" template mailport helm/mailport --namespace mailport-system --no-hooks --set crds.install=false)
  printf '%s\n' "# The operator, as the chart in helm/mailport renders it with its defaults: make chart" "$rendered" |
    sed -e '/^# Source: /d' -e '/^ *helm\.sh\/chart: /d' -e '/^ *app\.kubernetes\.io\/managed-by: Helm$/d' |
    cat -s
}

if [ "${1:-}" = --print ]; then
  operator
  exit
fi
for copy in helm/mailport/files deploy; do
  cp crds/inboundsmtp.yaml "$copy/inboundsmtp.yaml"
done
operator >deploy/operator.yaml
"$helm" lint --strict --quiet helm/mailport
