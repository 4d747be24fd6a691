// Package kafka tests the Kafka source and sink against a real broker. Nothing runs unless SLUICE_KAFKA names one.
//
//	SLUICE_KAFKA        brokers, host:port,host:port
//	SLUICE_KAFKA_PROPS  properties for all clients, as in kafka.consumer. and kafka.producer., one a line
//	SLUICE_KAFKA_SYSTEM system properties (-D) such as java.security.krb5.conf=/etc/krb5.conf, one a line
//	SLUICE_KAFKA_TOPIC  a topic that another client has filled
//	SLUICE_KAFKA_COUNT  how many records to pump; 100000
//	SLUICE_KAFKA_KILL   a shell command that kills the broker and starts it again
//	SLUICE_KAFKA_KILLS  how often; 10
package kafka
