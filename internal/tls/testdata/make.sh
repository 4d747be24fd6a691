#!/bin/sh
# Makes the stores of the tests with Java's keytool. Every password is "changeit"; the key in other-key.jks has "otherkey".
set -e
cd "$(dirname "$0")"
rm -f -- *.jks *.p12 *.pem
days="-validity 36500"
# A self-signed server, in both formats, and its certificate as trust store.
keytool -genkeypair -alias server -dname CN=localhost -ext san=dns:localhost,ip:127.0.0.1 -keyalg RSA -keysize 2048 $days \
	-keystore server.jks -storetype JKS -storepass changeit -keypass changeit
keytool -importkeystore -srckeystore server.jks -srcstorepass changeit -destkeystore server.p12 -deststoretype PKCS12 -deststorepass changeit
keytool -exportcert -rfc -alias server -keystore server.jks -storepass changeit -file server.crt.pem
keytool -importcert -noprompt -alias server -file server.crt.pem -keystore trust.jks -storetype JKS -storepass changeit
keytool -importcert -noprompt -alias server -file server.crt.pem -keystore trust.p12 -storetype PKCS12 -storepass changeit
# An authority, another below it, a server that the latter signed; the whole chain in one key store with a foreign certificate.
keytool -genkeypair -alias ca -dname "CN=Test authority" -ext bc:c -keyalg EC -groupname secp256r1 $days -keystore ca.p12 -storepass changeit
keytool -genkeypair -alias mid -dname "CN=Test authority 2" -keyalg EC -groupname secp256r1 $days -keystore mid.p12 -storepass changeit
keytool -genkeypair -alias leaf -dname CN=leaf.example -keyalg EC -groupname secp256r1 $days -keystore chain.p12 -storepass changeit
keytool -exportcert -rfc -alias ca -keystore ca.p12 -storepass changeit -file ca.crt.pem
keytool -certreq -alias mid -keystore mid.p12 -storepass changeit |
	keytool -gencert -rfc -alias ca -ext bc:c $days -keystore ca.p12 -storepass changeit >mid.crt.pem
keytool -certreq -alias leaf -keystore chain.p12 -storepass changeit |
	keytool -gencert -rfc -alias mid -ext san=dns:leaf.example $days -keystore mid.p12 -storepass changeit >leaf.crt.pem
cat leaf.crt.pem mid.crt.pem ca.crt.pem >all.crt.pem
keytool -importcert -noprompt -alias foreign -file server.crt.pem -keystore chain.p12 -storepass changeit
keytool -importcert -noprompt -alias leaf -file all.crt.pem -keystore chain.p12 -storepass changeit
keytool -importcert -noprompt -alias ca -file ca.crt.pem -keystore ca-trust.p12 -storepass changeit
# The same chain as PEM, and a key with a password of its own.
openssl pkcs12 -in chain.p12 -passin pass:changeit -nodes -nocerts -out leaf.key.pem
cat leaf.key.pem all.crt.pem >chain.pem
keytool -genkeypair -alias server -dname CN=localhost -keyalg EC -groupname secp256r1 $days \
	-keystore other-key.jks -storetype JKS -storepass changeit -keypass otherkey
rm -f leaf.key.pem leaf.crt.pem mid.crt.pem mid.p12 ca.p12 all.crt.pem
