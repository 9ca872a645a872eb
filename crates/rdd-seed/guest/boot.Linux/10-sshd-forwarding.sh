#!/bin/sh
# Ports and sockets are forwarded through sshd; Alpine forbids it by default.
set -eu
config=/etc/ssh/sshd_config
[ -e "$config" ] && command -v sshd >/dev/null 2>&1 || exit 0
grep -qiE '^[[:space:]]*(AllowTcpForwarding|AllowStreamLocalForwarding)[[:space:]]+(no|remote)' "$config" || exit 0
sed -i -E 's/^[[:space:]]*(AllowTcpForwarding|AllowStreamLocalForwarding)[[:space:]].*/\1 yes/I' "$config"
if [ -d /run/systemd/system ]; then
  systemctl reload ssh 2>/dev/null || systemctl reload sshd
else
  rc-service sshd reload
fi
