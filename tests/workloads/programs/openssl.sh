#!/bin/bash
# openssl: keys, certificates, digests and ciphers, a server and a client, a measurement by alarm.
. "${0%/*}/common.sh"

openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem 2>/dev/null
openssl ecparam -name prime256v1 -genkey -noout -out ec.pem
openssl req -new -x509 -key ec.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 2 -out ca.pem
openssl req -new -key rsa.pem -subj /CN=client -out request.pem
openssl x509 -req -in request.pem -CA ca.pem -CAkey ec.pem -CAcreateserial -days 1 -out client.pem 2>/dev/null
openssl verify -CAfile ca.pem client.pem >/dev/null
head -c 1000000 /dev/urandom >data
openssl dgst -sha256 -sign rsa.pem -out signature data
openssl dgst -sha256 -verify <(openssl pkey -in rsa.pem -pubout) -signature signature data >/dev/null
openssl enc -aes-256-ctr -pbkdf2 -pass pass:word -in data -out data.enc
openssl enc -d -aes-256-ctr -pbkdf2 -pass pass:word -in data.enc | cmp - data
openssl cms -encrypt -binary -aes256 -in data -out data.cms client.pem
openssl cms -decrypt -binary -in data.cms -inkey rsa.pem | cmp - data
openssl pkcs12 -export -in client.pem -inkey rsa.pem -passout pass:word -out client.p12
openssl rand -hex 32 >/dev/null
ask() {
    printf 'GET / HTTP/1.0\r\n\r\n' |
        openssl s_client -connect "${1:-localhost}:4433" -CAfile ca.pem -quiet -ign_eof 2>/dev/null
}
! ask  # whether the first one finds the server there is a matter of luck
openssl s_server -accept 127.0.0.1:4433 -cert ca.pem -key ec.pem -CAfile ca.pem -www -quiet 2>/dev/null &
server=$!
wait_for ask
ask 127.0.0.1 | grep -q '^HTTP/1.0 200'
kill "$server"
wait "$server" || true
openssl speed -multi 2 -seconds 1 -bytes 64 md5 >/dev/null 2>&1
finish openssl 49
