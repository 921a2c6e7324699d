#!/bin/sh
# nginx does not start with a listener that it cannot open, and some nodes boot without IPv6.
conf=/etc/nginx/conf.d/default.conf
if [ ! -e /proc/net/if_inet6 ] && grep -q 'listen \[::\]' "$conf"; then
    sed -i '/listen \[::\]/d' "$conf"
fi
