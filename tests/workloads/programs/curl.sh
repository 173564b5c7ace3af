#!/bin/bash
# curl against nginx: plain and encrypted, parallel, slow, partial, sent, moved, refused.
. "${0%/*}/common.sh"

mkdir -p www log
echo '<p>hello' >www/index.html
head -c 2000000 /dev/urandom >www/large
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -days 2 -out cert.pem 2>/dev/null
cat >nginx.conf <<END
worker_processes 1;
daemon off;
pid $PWD/nginx.pid;
error_log $PWD/log/error.log;
events { worker_connections 256; }
http {
    access_log $PWD/log/access.log;
    client_body_temp_path $PWD/body;
    proxy_temp_path $PWD/proxy;
    fastcgi_temp_path $PWD/fastcgi;
    uwsgi_temp_path $PWD/uwsgi;
    scgi_temp_path $PWD/scgi;
    server {
        listen 127.0.0.1:8080;
        listen 127.0.0.1:8443 ssl http2;
        ssl_certificate $PWD/cert.pem;
        ssl_certificate_key $PWD/key.pem;
        client_max_body_size 10m;
        root $PWD/www;
        location /sent { proxy_pass http://127.0.0.1:8080/index.html; }
        location /proxied/ { proxy_pass http://127.0.0.1:8080/; }
        location /moved { return 301 /index.html; }
    }
}
END
chmod 755 .
plain=http://localhost:8080 safe=https://localhost:8443
! curl -sf "$plain/"  # whether the first one finds the server there is a matter of luck
nginx -e "$PWD/log/error.log" -c "$PWD/nginx.conf" &
server=$!
wait_for curl -sf "$plain/"
curl -sf "$plain/large" | cmp - www/large
curl -sf --http1.1 --cacert cert.pem "$safe/large" -o large
curl -sf --http2 --cacert cert.pem "$safe/large" -o large -D headers --compressed
cmp large www/large
curl -sf --cacert cert.pem --no-progress-meter --parallel --parallel-max 4 "$safe/large?[1-8]" -o 'parallel-#1'
cmp parallel-8 www/large
curl -sf --limit-rate 3M "$plain/proxied/large" -o slow
curl -sf -r 100-199 "$plain/large" -o part
curl -sf -C 1000000 "$plain/large" -o rest
curl -sf -L "$plain/moved" -c cookies -b cookies -o moved
# Head and body arrive together, so that the server writes the body from two buffers; then they do not.
head -c 50000 large >medium
curl -s --data-binary @medium "$plain/sent" -o sent
curl -s --data-binary @large -H Expect: "$plain/sent" -o sent
curl -s -T large "$plain/sent" -o sent
curl -s --max-time 0.1 --connect-timeout 1 --limit-rate 1k "$plain/large" -o cut || [ $? = 28 ]
curl -s http://127.0.0.1:9/ || [ $? = 7 ]
curl -s http://name.invalid/ || [ $? = 6 ]
curl -sf "file://$PWD/large" | cmp - www/large
nginx -s quit -e "$PWD/log/error.log" -c "$PWD/nginx.conf"
wait "$server"
finish curl 51
