#!/bin/sh
# The user's services start at boot and stay when the last session ends.
[ -d /run/systemd/system ] && command -v loginctl >/dev/null 2>&1 || exit 0
loginctl enable-linger "$LIMA_CIDATA_USER"
