#!/bin/sh
# Run once by cloud-init, as its last step. What a server must have before Ansible comes: its own name in
# /etc/hosts, and a sign that it is ready. No network card is named here; the rest is the playbooks' work.
set -eu

name=$1
address=$2

# A name of its own that does not hang on the site's DNS: sudo and kubeadm ask for it.
if ! grep -qE "[[:space:]]${name}([[:space:]]|\$)" /etc/hosts; then
    printf '%s %s\n' "$address" "$name" >>/etc/hosts
fi

# Chameleon's images load the keys of the project's members with this; others do not have it.
if [ -x /usr/local/bin/cc-load-public-keys ] && id cc >/dev/null 2>&1; then
    su cc -c /usr/local/bin/cc-load-public-keys || echo "galley: loading the project's keys failed; going on" >&2
fi

mkdir -p /var/lib/galley
date -u +%Y-%m-%dT%H:%M:%SZ >/var/lib/galley/first-boot.done
# The console log is where the driver reads it, and where cloud-init printed the host keys just before.
echo "galley: ${name} is ready"
