#!/bin/sh
# Makes a try-out Vault usable: initialises it once, opens it at every start, and gives Rollcall a token of its own.
# Where you run a Vault already, use that: this one keeps what opens it beside its data.
set -eu
export VAULT_ADDR=http://vault:8200
until vault status >/dev/null 2>&1 || [ $? = 2 ]; do sleep 1; done
if [ ! -s /keys/init ]; then
    vault operator init -key-shares=1 -key-threshold=1 >/keys/init.new
    mv /keys/init.new /keys/init
fi
vault operator unseal "$(sed -n 's/^Unseal Key 1: //p' /keys/init)" >/dev/null
VAULT_TOKEN="$(sed -n 's/^Initial Root Token: //p' /keys/init)"
export VAULT_TOKEN
vault secrets list | grep -q '^transit/' || vault secrets enable transit
vault policy write rollcall - <<'POLICY'
path "transit/keys/rollcall" { capabilities = ["create", "read", "update"] }
path "transit/keys/rollcall/*" { capabilities = ["update"] }
path "transit/encrypt/rollcall" { capabilities = ["update"] }
path "transit/decrypt/rollcall" { capabilities = ["update"] }
POLICY
# Renewed by each rotation of the keys, which the nodes do once a day.
vault token lookup "$ROLLCALL_VAULT_TOKEN" >/dev/null 2>&1 ||
    vault token create -id="$ROLLCALL_VAULT_TOKEN" -orphan -period=768h -policy=rollcall >/dev/null
