#!/bin/sh
# Mounts the host's directories that fstab did not mount: a new one, or one that failed silently,
# which `nofail` allows.
set -u
code=0
i=0
while [ $i -lt "${LIMA_CIDATA_MOUNTS:-0}" ]; do
  eval "point=\${LIMA_CIDATA_MOUNTS_${i}_MOUNTPOINT-} tag=\${LIMA_CIDATA_MOUNTS_${i}_TAG-} options=\${LIMA_CIDATA_MOUNTS_${i}_OPTIONS-}"
  i=$((i + 1))
  # Those without a tag are mounted from the host.
  [ -n "$tag" ] || continue
  # /proc/mounts writes blanks as \040; -F takes that literally.
  escaped=$(printf %s "$point" | sed 's/ /\\040/g')
  grep -qF " $escaped " /proc/mounts && continue
  mkdir -p "$point" && mount -t "$LIMA_CIDATA_MOUNTTYPE" -o "$options" "$tag" "$point" || {
    echo "cannot mount $point: does the guest's kernel know $LIMA_CIDATA_MOUNTTYPE?" >&2
    code=1
  }
done
exit $code
