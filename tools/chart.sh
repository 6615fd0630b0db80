#!/bin/sh
# Copies crds/ into the chart, renders deploy/ from the chart, and lints it. `tools/chart.sh --print NAME` only prints what
# deploy/NAME.yaml should hold. Needs helm: tools/kube.sh helm
set -eu
cd "$(dirname "$0")/.."
helm=$(tools/kube.sh --where helm) || { echo "helm has not been built: tools/kube.sh helm" >&2; exit 1; }

# The chart's defaults, but for the CustomResourceDefinition and the policies, which lie beside it, and for what is Helm's
# own. deploy/kustomization.yaml says where the image is to come from.
render() {
  rendered=$("$helm" template mailport helm/mailport --namespace mailport-system --no-hooks \
    --set crds.install=false --set image.registry= "$@")
  printf '%s\n' "# $says, as the chart in helm/mailport renders it with its defaults: make chart" "$rendered" |
    sed -e '/^# Source: /d' -e '/^ *helm\.sh\/chart: /d' -e '/^ *app\.kubernetes\.io\/managed-by: Helm$/d' |
    cat -s
}

show() {
  case $1 in
    operator) says="The operator" && render --set admissionPolicy.enabled=false ;;
    admission-policy) says="What holds the operator to its own objects" &&
      render --show-only=templates/admission-policy.yaml ;;
  esac
}

if [ "${1:-}" = --print ]; then
  show "$2"
  exit
fi
for copy in helm/mailport/files deploy; do
  cp crds/inboundsmtp.yaml "$copy/inboundsmtp.yaml"
done
for name in operator admission-policy; do
  show "$name" >"deploy/$name.yaml"
done
"$helm" lint --strict --quiet --set image.registry= helm/mailport
