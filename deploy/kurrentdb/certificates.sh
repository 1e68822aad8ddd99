#!/bin/bash
# Makes an authority and a certificate for each node, once. The authority's key stays in a volume that no node has.
set -euo pipefail
if [ ! -s /authority-key/ca.key ]; then
    es-gencert-cli create-ca -out /authority-key
fi
for node in 1 2 3; do
    if [ ! -s "/certs$node/node.key" ]; then
        es-gencert-cli create-node -ca-certificate /authority-key/ca.crt -ca-key /authority-key/ca.key \
            -out "/certs$node" -ip-addresses "127.0.0.1,172.30.240.1$node" -dns-names "localhost,kurrentdb$node"
    fi
    # The user of the server's image.
    chown -R 1000:1000 "/certs$node"
    chmod 600 "/certs$node/node.key"
done
cp /authority-key/ca.crt /authority/ca.crt
chmod 644 /authority/ca.crt
