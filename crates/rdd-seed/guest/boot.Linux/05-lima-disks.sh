#!/bin/sh
# Mounts the additional disks at /mnt/lima-NAME, and makes a file system on those that are blank.
# A disk is found by its serial number, never by its place.
set -u
code=0

# device_of SERIAL prints the device.
device_of() {
  if [ -e "/dev/disk/by-id/virtio-$1" ]; then
    readlink -f "/dev/disk/by-id/virtio-$1"
    return
  fi
  for serial in /sys/block/*/serial; do
    [ -e "$serial" ] && [ "$(cat "$serial")" = "$1" ] || continue
    block=${serial%/serial}
    echo "/dev/${block##*/}"
    return
  done
  return 1
}

# is_blank DEVICE: no partitions, no file system, nothing at its start.
is_blank() {
  [ -z "$(blkid -p -o value -s TYPE "$1" 2>/dev/null)" ] || return 1
  [ ! -e "${1}1" ] || return 1
  [ "$(head -c 1048576 "$1" | tr -d '\0' | wc -c)" -eq 0 ]
}

# has_room DISK PART: there are more than 2 MiB behind the partition, in sectors of 512 bytes.
has_room() {
  [ "$1" != "$2" ] || return 0
  disk_size=$(cat "/sys/class/block/${1##*/}/size") part_start=$(cat "/sys/class/block/${2##*/}/start")
  part_size=$(cat "/sys/class/block/${2##*/}/size")
  [ $((disk_size - part_start - part_size)) -gt 4096 ]
}

add_disk() {
  name=$1 serial=$2 format=$3 fs_type=${4:-ext4} fs_args=$5
  mount_point=/mnt/lima-$name
  disk=$(device_of "$serial") || { echo "no disk with the serial number $serial" >&2; return 1; }
  part=$disk
  [ -e "${disk}1" ] && part=${disk}1
  if [ "$format" = true ] && is_blank "$disk"; then
    if command -v sfdisk >/dev/null 2>&1; then
      echo 'type=linux' | sfdisk -q --label gpt "$disk" || return 1
      command -v udevadm >/dev/null 2>&1 && udevadm settle
      [ -e "${disk}1" ] && part=${disk}1
    fi
    case $fs_type in
      swap) mkswap -L "lima-$name" "$part" || return 1 ;;
      # The arguments are words of a list in the template.
      *) "mkfs.$fs_type" $fs_args -L "lima-$name" "$part" || return 1 ;;
    esac
  fi
  case $(blkid -o value -s TYPE "$part" 2>/dev/null) in
    '') [ "$format" = true ] || return 0 ;;
    swap)
      grep -q "^$part " /proc/swaps || swapon "$part"
      return
      ;;
  esac
  grep -q " $mount_point " /proc/mounts && return 0
  mkdir -p "$mount_point" && mount "$part" "$mount_point" || return 1
  # The disk may have grown since.
  has_room "$disk" "$part" || return 0
  if [ "$part" != "$disk" ] && command -v growpart >/dev/null 2>&1; then growpart "$disk" 1 >/dev/null 2>&1; fi
  case $(blkid -o value -s TYPE "$part") in
    ext?) command -v resize2fs >/dev/null 2>&1 && resize2fs "$part" >/dev/null 2>&1 ;;
    xfs) command -v xfs_growfs >/dev/null 2>&1 && xfs_growfs "$mount_point" >/dev/null 2>&1 ;;
  esac
  return 0
}

get() { eval "printf %s \"\${LIMA_CIDATA_DISK_$1-}\""; }

i=0
while [ $i -lt "${LIMA_CIDATA_DISKS:-0}" ]; do
  add_disk "$(get ${i}_NAME)" "$(get ${i}_SERIAL)" "$(get ${i}_FORMAT)" "$(get ${i}_FSTYPE)" "$(get ${i}_FSARGS)" || code=1
  i=$((i + 1))
done
exit $code
