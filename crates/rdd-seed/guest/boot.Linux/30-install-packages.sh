#!/bin/sh
# The template's own dependencies, then what mounts need, if it is missing: an image that has it
# never runs a package manager at boot.
set -eu
for script in "$LIMA_CIDATA_MNT"/provision.dependency/*; do
  [ -f "$script" ] || continue
  "$script"
done
[ "${LIMA_CIDATA_SKIP_DEFAULT_DEPENDENCY_RESOLUTION:-}" = 1 ] && exit 0
[ "$LIMA_CIDATA_MOUNTTYPE" = reverse-sshfs ] && [ "${LIMA_CIDATA_MOUNTS:-0}" -gt 0 ] || exit 0
command -v sshfs >/dev/null 2>&1 && exit 0
if command -v apt-get >/dev/null 2>&1; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  apt-get install -q -y --no-install-recommends sshfs
elif command -v apk >/dev/null 2>&1; then
  apk add --no-progress sshfs
elif command -v dnf >/dev/null 2>&1; then
  dnf install -q -y fuse-sshfs
elif command -v zypper >/dev/null 2>&1; then
  zypper --non-interactive install sshfs
elif command -v pacman >/dev/null 2>&1; then
  pacman -Sy --noconfirm sshfs
else
  echo "sshfs is missing, and no package manager is known here" >&2
  exit 1
fi
