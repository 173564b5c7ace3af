#!/bin/bash
# nginx under the load of wrk: small and large answers, logs, a reload and an orderly end.
. "${0%/*}/common.sh"

mkdir -p www log
echo '<p>hello' >www/index.html
head -c 3000000 /dev/urandom >www/large
cat >nginx.conf <<END
worker_processes 2;
daemon off;
pid $PWD/nginx.pid;
error_log $PWD/log/error.log notice;
events { worker_connections 256; }
http {
    access_log $PWD/log/access.log combined buffer=4k flush=1s;
    sendfile on;
    gzip on;
    gzip_min_length 1;
    client_body_temp_path $PWD/body;
    proxy_temp_path $PWD/proxy;
    fastcgi_temp_path $PWD/fastcgi;
    uwsgi_temp_path $PWD/uwsgi;
    scgi_temp_path $PWD/scgi;
    keepalive_timeout 1s;
    server {
        listen 127.0.0.1:8080;
        root $PWD/www;
        location /proxied/ { proxy_pass http://127.0.0.1:8080/; }
    }
}
END
chmod 755 .
nginx -q -t -e "$PWD/log/error.log" -c "$PWD/nginx.conf"
nginx -e "$PWD/log/error.log" -c "$PWD/nginx.conf" &
server=$!
wait_for test -s nginx.pid
wait_for curl -sf http://127.0.0.1:8080/
for page in index.html large proxied/large missing; do
    curl -s --compressed -o /dev/null "http://127.0.0.1:8080/$page"
done
# One load on each page, and a reload in the middle of both.
for page in index.html proxied/large; do
    wrk -t 2 -c 8 -d 1s "http://127.0.0.1:8080/$page" >>load &
    loads+=($!)
done
sleep 0.5
nginx -s reload -e "$PWD/log/error.log" -c "$PWD/nginx.conf"
wait "${loads[@]}"
grep -c '^Requests/sec' load | grep -qx 2
nginx -s quit -e "$PWD/log/error.log" -c "$PWD/nginx.conf"
wait "$server"
finish nginx 45
