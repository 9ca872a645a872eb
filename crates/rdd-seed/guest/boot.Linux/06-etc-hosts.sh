#!/bin/sh
# Names with fixed answers, the host's first.
set -eu
{
  sed '/^#LIMA-START$/,/^#LIMA-END$/d' /etc/hosts
  echo '#LIMA-START'
  cat "$LIMA_CIDATA_MNT/etc_hosts"
  echo '#LIMA-END'
} >/run/lima-etc-hosts
# Some guests have /etc/hosts as a mount of its own, so it is written, not replaced.
cmp -s /run/lima-etc-hosts /etc/hosts || cat /run/lima-etc-hosts >/etc/hosts
rm -f /run/lima-etc-hosts
