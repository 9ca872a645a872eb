#!/bin/sh
# Runs at every boot: mounts the seed disk and hands over to its boot script.
set -eu
LIMA_CIDATA_MNT=/mnt/lima-cidata
export LIMA_CIDATA_MNT
mkdir -p -m 700 "$LIMA_CIDATA_MNT"
if [ ! -e "$LIMA_CIDATA_MNT/boot.sh" ]; then
  seed=/dev/disk/by-label/cidata
  [ -e "$seed" ] || seed=$(findfs LABEL=cidata 2>/dev/null) || seed=$(blkid -L cidata)
  mount -t iso9660 -o ro,exec "$seed" "$LIMA_CIDATA_MNT"
fi
exec /bin/sh "$LIMA_CIDATA_MNT/boot.sh"
