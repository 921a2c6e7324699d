#!/bin/bash
# Makes ten containers the way the scripts of older releases did: plain `podman run`, passwords in the environment, no
# labels, no limits, other ports and grace than the manifests have. The build contexts of the three pages are expected
# below /opt/archipelago/docker. With names as arguments only these are made.
set -euo pipefail
only=" $* "
chosen() { [ "$only" = "  " ] || [[ "$only" == *" $1 "* ]]; }
D=/var/lib/archipelago
secret() { cat "$D/secrets/$1"; }
RPC=$(secret bitcoin-rpc-password)
podman network exists archy-net || podman network create archy-net >/dev/null
mkdir -p $D/{mysql-mempool,bitcoin,lnd,electrumx,mempool,bitcoin-ui} $D/filebrowser/{files,db}
podman unshare chown 999:999 $D/mysql-mempool
podman unshare chown 1000:1000 $D/mempool

# An app's user may own its data by now, and a file in there is not to be seen from outside.
missing() { ! podman unshare test -e "$1"; }
if chosen bitcoin-knots && missing $D/bitcoin/bitcoin.conf; then
	cat >$D/bitcoin/bitcoin.conf <<-EOF
		server=1
		$(archy secrets rpcauth)
		rpcbind=0.0.0.0
		rpcallowip=127.0.0.1
		rpcallowip=10.89.0.0/16
		zmqpubrawblock=tcp://0.0.0.0:28332
		zmqpubrawtx=tcp://0.0.0.0:28333
		txindex=1
	EOF
fi
if chosen lnd && missing $D/lnd/lnd.conf; then
	cat >$D/lnd/lnd.conf <<-EOF
		[Application Options]
		alias=my-node
		listen=0.0.0.0:9735
		rpclisten=0.0.0.0:10009
		restlisten=0.0.0.0:8080
		bitcoin.active=true
		bitcoin.mainnet=true
		bitcoin.node=bitcoind
		bitcoind.rpchost=bitcoin-knots:8332
		bitcoind.rpcuser=archipelago
		bitcoind.rpcpass=$RPC
		bitcoind.zmqpubrawblock=tcp://bitcoin-knots:28332
		bitcoind.zmqpubrawtx=tcp://bitcoin-knots:28333
	EOF
fi
chosen archy-bitcoin-ui && cat >$D/bitcoin-ui/nginx.conf <<-EOF
	server {
	    listen 8334;
	    root /usr/share/nginx/html;
	    location /bitcoin-rpc/ {
	        proxy_pass http://127.0.0.1:8332/;
	        proxy_set_header Authorization "Basic $(printf 'archipelago:%s' "$RPC" | base64 -w0)";
	    }
	}
EOF

run() {
	local name=$1
	shift
	chosen "$name" || return 0
	podman container exists "$name" || podman run -q -d --name "$name" --restart unless-stopped "$@" >/dev/null
	echo "$name is there"
}
run archy-mempool-db --network archy-net -v $D/mysql-mempool:/var/lib/mysql \
	-e MARIADB_DATABASE=mempool -e MARIADB_USER=mempool -e MARIADB_AUTO_UPGRADE=1 \
	-e MARIADB_PASSWORD="$(secret mempool-db-password)" -e MARIADB_ROOT_PASSWORD="$(secret mysql-root-db-password)" \
	docker.io/library/mariadb:10.11
run bitcoin-knots --network archy-net -p 8332:8332 -p 8333:8333 -p 28332:28332 -p 28333:28333 --user 0:0 \
	-v $D/bitcoin:/data/.bitcoin --entrypoint bitcoind ghcr.io/retropex/bitcoin:v28.1 \
	-datadir=/data/.bitcoin -conf=/data/.bitcoin/bitcoin.conf -printtoconsole=0 -dbcache=1024
run electrumx --network archy-net -p 50001:50001 --user 0:0 -v $D/electrumx:/data \
	-e COIN=Bitcoin -e NET=mainnet -e DB_DIRECTORY=/data -e DB_ENGINE=leveldb -e ALLOW_ROOT=1 -e CACHE_MB=400 -e PEER_DISCOVERY=off \
	-e SERVICES=tcp://0.0.0.0:50001,rpc://127.0.0.1:8000 \
	-e DAEMON_URL="http://archipelago:$RPC@bitcoin-knots:8332/" docker.io/lukechilds/electrumx:v1.16.0
# The REST port of old releases: 8080 belonged to somebody else then.
run lnd --network archy-net -p 9735:9735 -p 10009:10009 -p 18080:8080 --user 0:0 -v $D/lnd:/root/.lnd \
	docker.io/lightninglabs/lnd:v0.18.4-beta --lnddir=/root/.lnd --configfile=/root/.lnd/lnd.conf
run mempool-api --network archy-net -p 127.0.0.1:8999:8999 --user 1000:1000 -v $D/mempool:/backend/cache \
	-e MEMPOOL_BACKEND=electrum -e MEMPOOL_HTTP_PORT=8999 -e MEMPOOL_CACHE_DIR=/backend/cache \
	-e ELECTRUM_HOST=electrumx -e ELECTRUM_PORT=50001 -e ELECTRUM_TLS_ENABLED=false \
	-e CORE_RPC_HOST=bitcoin-knots -e CORE_RPC_PORT=8332 -e CORE_RPC_USERNAME=archipelago -e CORE_RPC_PASSWORD="$RPC" \
	-e DATABASE_ENABLED=true -e DATABASE_HOST=archy-mempool-db -e DATABASE_PORT=3306 -e DATABASE_DATABASE=mempool \
	-e DATABASE_USERNAME=mempool -e DATABASE_PASSWORD="$(secret mempool-db-password)" -e STATISTICS_ENABLED=true \
	docker.io/mempool/backend:v3.0.0 ./wait-for-it.sh archy-mempool-db:3306 --timeout=720 --strict -- ./start.sh
run archy-mempool-web --network archy-net -p 4080:8080 --user 1000:1000 \
	-e FRONTEND_HTTP_PORT=8080 -e BACKEND_MAINNET_HTTP_HOST=mempool-api -e BACKEND_MAINNET_HTTP_PORT=8999 \
	docker.io/mempool/frontend:v3.0.1
run filebrowser -p 8083:80 --user 0:0 -v $D/filebrowser/files:/srv -v $D/filebrowser/db:/database \
	-e FB_PORT=80 -e FB_ADDRESS=0.0.0.0 -e FB_ROOT=/srv -e FB_DATABASE=/database/filebrowser.db -e FB_USERNAME=admin \
	-e FB_PASSWORD="$(secret filebrowser-admin-hash)" docker.io/filebrowser/filebrowser:v2.27.0
for ui in bitcoin-ui lnd-ui electrs-ui; do
	chosen "archy-$ui" || continue
	podman image exists localhost/$ui:latest || podman build -q -t localhost/$ui:latest /opt/archipelago/docker/$ui >/dev/null
done
run archy-bitcoin-ui --network host -v $D/bitcoin-ui/nginx.conf:/etc/nginx/conf.d/default.conf:ro localhost/bitcoin-ui:latest
run archy-lnd-ui --network host localhost/lnd-ui:latest
run archy-electrs-ui --network host localhost/electrs-ui:latest
