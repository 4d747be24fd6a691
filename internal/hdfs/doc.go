// Package hdfs is the little of a file system that a sink needs, over HDFS in its own protocols and over local files.
//
//	sink ─▶ FS, File ─┬─▶ client ── namenode ── conn ─▶ NameNode      names, blocks, leases: RPC
//	                  │      └───── writer ── pipeline ─▶ DataNodes   bytes: the data transfer protocol
//	                  └─▶ local ─▶ the machine's files
//
// # Rules
//
//   - What Flush has confirmed is in the file, once and in order, whatever dies: a DataNode, the NameNode, this process.
//   - A call whose time is up breaks nothing. Write says what it took, and the file goes on with that by itself.
//   - A call to the NameNode is tried until its time is up, under the same number, so that one whose answer was lost is
//     not done twice: the NameNode remembers (client id, call id), also over a restart and a failover.
//   - A broken pipeline is made again of the nodes that are left. The block gets a new generation, by which a node that
//     missed something is known; the nodes cut their replicas to the last byte that all have acknowledged, and what
//     comes after it is sent again.
//   - A file ends with ErrLost where no node of its last block is left, where its pipelines break five times in a row, or
//     where the NameNode refuses (quota, permission, a lease that is lost). What was acknowledged is in it: Recover
//     closes it, Append goes on, after Truncate to Acked if no other byte may be there.
//
// A file has one goroutine and its pipeline another; a client has one for the lease and one for each connection to a
// NameNode. A file holds at most 2 MB that are not acknowledged, and all files of a client together Options.Buffer. A
// file at rest holds less than a chunk.
//
// Messages are protocol buffers (proto2), written by hand (proto.go); below, {} is a message, and "delimited" puts its
// length before it as a varint. All other numbers are big-endian.
//
// # RPC
//
// A connection begins with
//
//	'hrpc' | 09 version | 00 service class | 00 no authentication, or DF SASL
//
// and, after authentication, a frame with call -3 that says who calls: {2: {1: effective user, 2: real user}, 3:
// protocol}. A frame is an int32 length and that many bytes. Those of a call, and those of its answer:
//
//	delimited {1: 2, 2: 0, 3: sint call id, 4: 16-byte client id, 5: sint retry}   rpcKind, rpcOp
//	delimited {1: method, 2: protocol, 3: 1}
//	delimited request
//
//	delimited {1: call id, 2: 0 success | 1 error | 2 fatal, 4: exception class, 5: its text, 6: detail}
//	delimited response                                                              if successful
//
// Authentication is frames with call -33 whose second part is {2: state, 3: token, 4: repeated {1: method, 2: mechanism,
// 3: protocol, 4: server}}: NEGOTIATE (1), answered with the ways to log in; INITIATE (2) with the first token and the
// way chosen; CHALLENGE (3) and RESPONSE (4) in turn; SUCCESS (0). With integrity or privacy every frame after that,
// its length included, is the token of a frame with call -33 and state WRAP (5).
//
// The protocols are org.apache.hadoop.hdfs.protocol.ClientProtocol, and ClientDatanodeProtocol for the length of a block
// that is written to.
//
// # Data transfer
//
// An operation on a connection of its own, and what the DataNode answers:
//
//	00 1C version | 50 write, 51 read, 56 transfer | delimited request
//	delimited {1: status, 2: node that is to blame, 4: {1: {1: checksum, 2: bytes each}, 2: first byte}, 5: text}
//
// A write names the nodes after the first, the stage, the bytes that are acknowledged and sent, and the new generation.
// Stages: 6 a new block, 0 appending, 2 streaming, 4 closing; one more is the recovery of that. The pipeline passes
// packets on, and acknowledgements {1: sint number, 2: repeated status, 4: packed flags, the status in their low four
// bits} come back, with a status for each node. A reader gets packets, and answers the last with {1: 6 checksums right}.
//
//	int32 4 + checksums + data | int16 size of the header
//	header: {1: sfixed64 offset in the block, 2: sfixed64 number, 3: last, 4: sfixed32 bytes of data, 5: sync}
//	a CRC-32C of each 512 bytes of data | data
//
// Chunks of 512 bytes begin at multiples of 512 in the block. After a flush within a chunk the next packet begins with
// the chunk again. Where a file is opened to append within a chunk whose bytes we have not, the first packet begins
// there and ends with the chunk: the nodes make the checksum of the whole. An empty packet with last set ends a block;
// one with number -1 says after 30 s of silence that we are still here. The nodes answer it.
package hdfs
