#!/bin/sh
# The environment of every session. A session that began before it was set is ended, so that whoever
# waits for the mark gets a session that has it.
set -eu
file=/etc/environment
[ -e "$file" ] || : >"$file"
{
  sed '/^#LIMA-START$/,/^#LIMA-END$/d' "$file"
  cat "$LIMA_CIDATA_MNT/etc_environment"
} >/run/lima-etc-environment
if ! cmp -s /run/lima-etc-environment "$file"; then
  cat /run/lima-etc-environment >"$file"
  if [ -d /run/systemd/system ]; then loginctl terminate-user "$LIMA_CIDATA_USER" 2>/dev/null || true; fi
fi
rm -f /run/lima-etc-environment
printf '%s\n' "$LIMA_CIDATA_IID" >/run/lima-ssh-ready.tmp
chmod 644 /run/lima-ssh-ready.tmp
mv /run/lima-ssh-ready.tmp /run/lima-ssh-ready
