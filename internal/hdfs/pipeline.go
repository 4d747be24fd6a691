package hdfs

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"slices"
	"time"
)

const (
	nodeExtra = 5 * time.Second // to the time limit, for each node of a pipeline
	maxTries  = 5               // to get bytes acknowledged, each with another pipeline
)

// A pipeline is a connection to the first of the nodes that a block is written to; each passes on what comes, and the
// acknowledgements come back the same way.
type pipeline struct {
	conn  *dataConn
	ended chan struct{} // the goroutine that reads acknowledgements is gone
}

// A fault is why a pipeline is broken. bad is the node to go on without; -1: none is known, or all may stay.
type fault struct {
	bad     int
	restart bool  // that node will be back
	err     error // nil: nothing was broken, a block is opened again
	counted bool  // among those in a row that end a file
}

// A failedNode is not asked again for some time.
type failedNode struct {
	node
	at time.Time
}

const (
	shunTime  = 10 * time.Minute // as long as Hadoop's own client
	shunLeast = 5 * time.Second  // where no other node is to be had

	topUpLeast = 15 * time.Second // between looking for a node that is missing
	topUpMost  = 5 * time.Minute
)

func (w *writer) shun(n node, err error) {
	w.c.nodeFailed(&n, err)
	w.failed = slices.DeleteFunc(w.failed, func(f failedNode) bool { return f.uuid == n.uuid })
	w.failed = append(w.failed, failedNode{n, time.Now()})
}

// shunned are the nodes that failed since then.
func (w *writer) shunned(than time.Duration) []node {
	var nodes []node
	for _, f := range w.failed {
		if time.Since(f.at) < than {
			nodes = append(nodes, f.node)
		}
	}
	return nodes
}

func (w *writer) limit() time.Duration {
	return w.c.pipe.timeout + time.Duration(len(w.replicas))*nodeExtra
}

// setUp connects to the nodes of the block. On failure it says which one is to blame.
func (w *writer) setUp(ctx context.Context, stage uint64, generation uint64, acked, sent int64) (*pipeline, *fault) {
	first := &w.replicas[0].node
	d, err := w.c.dialNode(ctx, first, w.token, 256)
	if err != nil {
		return nil, &fault{bad: 0, err: err}
	}
	b := w.block
	b.length = w.blockSize
	m := new(message).bytes(1, w.c.operationHeader(b, w.token))
	for _, r := range w.replicas[1:] {
		m.bytes(2, r.info)
	}
	m.num(4, stage).num(5, uint64(len(w.replicas))).num(6, uint64(acked)).num(7, uint64(sent)).num(8, generation).
		bytes(9, *new(message).num(1, crc32c).num(2, chunk)).num(11, w.replicas[0].storageType)
	for _, r := range w.replicas[1:] {
		m.num(12, r.storageType)
	}
	m.flag(13, false).flag(14, false)
	if w.replicas[0].storage != "" {
		m.text(16, w.replicas[0].storage)
		for _, r := range w.replicas[1:] {
			m.text(17, r.storage)
		}
	}
	a, err := d.operation(opWrite, *m, w.limit())
	if err == nil {
		err = a.err(first)
	}
	if err != nil {
		d.hangUp()
		f := &fault{bad: 0, err: err}
		for i := range w.replicas {
			if a.bad != "" && (a.bad == w.replicas[i].addr(false) || a.bad == w.replicas[i].addr(true)) {
				f.bad = i
			}
		}
		f.restart = a.status == statusRestart
		return nil, f
	}
	return &pipeline{conn: d, ended: make(chan struct{})}, nil
}

// shut ends a pipeline that has begun, and its goroutine.
func (p *pipeline) shut() {
	p.conn.hangUp()
	<-p.ended
}

// send writes a packet.
func (p *pipeline) send(k *packet, limit time.Duration) error {
	p.conn.nc.SetWriteDeadline(time.Now().Add(limit))
	bufs := net.Buffers{k.head, k.data}
	_, err := bufs.WriteTo(p.conn.nc)
	return err
}

// readAcks takes acknowledged packets off the queue, until the pipeline ends or breaks.
func (w *writer) readAcks(p *pipeline, nodes int) {
	defer close(p.ended)
	var replies []uint64
	for {
		data, err := readDelimited(p.conn.in, 64<<10)
		var a ack
		if err == nil {
			a, err = decodeAck(data, replies)
			replies = a.replies
		}
		f := &fault{bad: 0, err: err}
		if err == nil {
			f = nil
			for i, r := range slices.Backward(a.replies) {
				if r != statusOK {
					f = &fault{bad: min(i, nodes-1), restart: r == statusRestart, err: fmt.Errorf("DataNode %s answers %s", w.nodeName(i), statusText(r))}
					break
				}
			}
		}
		if !w.acknowledge(p, a.seq, f) {
			return
		}
	}
}

// recover makes a working pipeline of what is left of one, or of the replicas of a block to append to. The nodes drop
// what they have after the last acknowledged byte; what comes after it is sent again.
func (w *writer) recover(ctx context.Context, f *fault) error {
	if w.pipe != nil {
		w.pipe.shut()
		w.pipe = nil
	}
	acked, sent := w.rewind()
	stage := w.stage
	if f.err != nil {
		stage |= 1
	}
	restart := time.Now().Add(30 * time.Second)
	for {
		if f.err != nil && !f.counted {
			f.counted = true
			w.noteTrouble(f.err)
			if w.tries++; w.tries > maxTries {
				return fmt.Errorf("%w: its pipeline broke %d times in a row: %w", ErrLost, maxTries, f.err)
			}
		}
		if f.bad >= 0 {
			if f.restart && len(w.replicas) == 1 && time.Now().Before(restart) {
				if err := pause(ctx, 2*time.Second); err != nil {
					return err
				}
			} else {
				w.shun(w.replicas[f.bad].node, f.err)
				w.setReplicas(slices.Delete(slices.Clone(w.replicas), f.bad, f.bad+1))
				w.topUpPause, w.topUpAt = topUpLeast, time.Now().Add(topUpLeast)
			}
			f.bad = -1
		}
		if len(w.replicas) == 0 {
			return fmt.Errorf("%w: no DataNode of its last block is left: %w", ErrLost, f.err)
		}
		b := w.block
		b.length = acked
		if err := w.replaceNode(ctx, b); err != nil {
			return err
		}
		data, err := w.c.nn.call(ctx, "updateBlockForPipeline", new(message).bytes(1, b.encode()).text(2, w.c.name))
		if err != nil {
			return err
		}
		l, err := locatedField(data)
		if err != nil {
			return err
		}
		w.token = l.token
		if _, err := w.c.encryptionKey(ctx); err != nil { // not the DataNode's fault
			return err
		}
		p, bad := w.setUp(ctx, stage, l.generation, acked, sent)
		if bad != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			f, stage = bad, stage|1
			w.setFault(f)
			continue
		}
		now := b
		now.generation = l.generation
		m := new(message).text(1, w.c.name).bytes(2, b.encode()).bytes(3, now.encode())
		for _, r := range w.replicas {
			m.bytes(4, r.id)
		}
		for _, r := range w.replicas {
			m.text(5, r.storage)
		}
		if _, err := w.c.nn.call(ctx, "updatePipeline", m); err != nil {
			p.conn.hangUp() // the nodes have the new generation already; another try gives them a newer one
			w.setFault(&fault{bad: -1, err: err, counted: true})
			return err
		}
		w.begin(p, now.generation)
		return nil
	}
}

func locatedField(data []byte) (located, error) {
	field, _, err := only(data, 1)
	if err != nil {
		return located{}, err
	}
	return decodeLocated(field)
}

// wantsNode tells whether a pipeline is to have more nodes. Hadoop's own client leaves files of two replicas alone; here
// a file that was flushed is worth the copy.
func (w *writer) wantsNode() bool {
	n := len(w.replicas)
	switch {
	case w.c.pipe.replace == replaceNever || n >= w.replication || w.stage == stageClose:
		return false
	case w.c.pipe.replace == replaceDefault && w.replication < 3:
		return false
	case w.c.pipe.replace == replaceAlways || w.appending || w.flushed.Load():
		return true
	}
	return w.replication >= 3 && n <= w.replication/2
}

// topUp looks now and then for a node where one is missing, and if there is one has the pipeline made again with it: a
// file that goes on with fewer must not wait for the next death.
func (w *writer) topUp(ctx context.Context) {
	w.topUpPause = min(2*w.topUpPause, topUpMost)
	w.topUpAt = time.Now().Add(w.topUpPause)
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	b := w.block
	b.length, _ = w.progress()
	if _, err := w.moreNodes(ctx, b, shunLeast, nil); err == nil {
		w.setFault(&fault{bad: -1, err: errors.New("a DataNode is missing, and one has come"), counted: true})
	}
}

// replaceNode adds a node in place of one that is gone. Without one to be had it goes on with fewer, unless the settings
// forbid that.
func (w *writer) replaceNode(ctx context.Context, b block) error {
	if !w.wantsNode() {
		return nil
	}
	n := len(w.replicas)
	err := w.addNode(ctx, b, shunTime)
	if err != nil && ctx.Err() == nil {
		err = w.addNode(ctx, b, shunLeast)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil || w.c.pipe.bestEffort || w.c.pipe.minimum > 0 && n >= w.c.pipe.minimum {
		if err != nil {
			w.noteTrouble(fmt.Errorf("no DataNode for another replica: %w", err))
		}
		return nil
	}
	return fmt.Errorf("%w: no DataNode for another replica: %w", ErrLost, err)
}

// moreNodes asks for the nodes of the block and one more.
func (w *writer) moreNodes(ctx context.Context, b block, shun time.Duration, tried []replica) (located, error) {
	m := new(message).text(1, w.path).bytes(2, b.encode())
	for _, r := range w.replicas {
		m.bytes(3, r.info)
	}
	for _, n := range w.shunned(shun) {
		m.bytes(4, n.info)
	}
	for _, r := range tried {
		m.bytes(4, r.info)
	}
	m.num(5, 1).text(6, w.c.name)
	for _, r := range w.replicas {
		m.text(7, r.storage)
	}
	data, err := w.c.nn.call(ctx, "getAdditionalDatanode", m.num(8, w.id))
	if err != nil {
		return located{}, err
	}
	l, err := locatedField(data)
	if err == nil && len(l.replicas) != len(w.replicas)+1 {
		err = errors.New("the NameNode has none")
	}
	return l, err
}

func (w *writer) addNode(ctx context.Context, b block, shun time.Duration) error {
	var tried []replica
	for {
		l, err := w.moreNodes(ctx, b, shun, tried)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(l.replicas, func(r replica) bool {
			return !slices.ContainsFunc(w.replicas, func(old replica) bool { return old.uuid == r.uuid })
		})
		if i < 0 {
			return errors.New("the NameNode has none")
		}
		from := w.replicas[len(tried)%len(w.replicas)]
		err = w.c.transferReplica(ctx, b, l.token, &from.node, l.replicas[i])
		if err == nil {
			w.setReplicas(l.replicas)
			return nil
		}
		if tried = append(tried, l.replicas[i]); len(tried) == 3 || ctx.Err() != nil {
			return fmt.Errorf("copying the block from %s to %s: %w", from.addr(false), l.replicas[i].addr(false), err)
		}
	}
}

// nextBlock has the NameNode add a block to the file, and connects to its nodes.
func (w *writer) nextBlock(ctx context.Context) error {
	for try := 0; ; try++ {
		if _, err := w.c.encryptionKey(ctx); err != nil {
			return err
		}
		m := new(message).text(1, w.path).text(2, w.c.name)
		if w.block.id != 0 {
			m.bytes(3, w.block.encode())
		}
		shun := shunTime
		if try%2 == 1 {
			shun = shunLeast
		}
		for _, n := range w.shunned(shun) {
			m.bytes(4, n.info)
		}
		data, err := w.c.nn.call(ctx, "addBlock", m.num(5, w.id))
		if err != nil {
			if try == 0 && len(w.failed) > 0 && ctx.Err() == nil {
				continue
			}
			return err
		}
		l, err := locatedField(data)
		if err == nil && len(l.replicas) == 0 {
			err = errors.New("the NameNode gives a block without DataNodes")
		}
		if err != nil {
			return err
		}
		before := w.block
		w.block, w.token = l.block, l.token
		w.block.length = 0
		w.setReplicas(l.replicas)
		p, bad := w.setUp(ctx, stageCreate, 0, 0, 0)
		if bad == nil {
			w.begin(p, w.block.generation)
			return nil
		}
		if ctx.Err() != nil {
			w.block = before
			return context.Cause(ctx)
		}
		w.noteTrouble(bad.err)
		m = new(message).bytes(1, w.block.encode()).text(2, w.path).text(3, w.c.name).num(4, w.id)
		_, err = w.c.nn.call(ctx, "abandonBlock", m)
		w.block = before
		if err != nil {
			return err
		}
		w.shun(w.replicas[bad.bad].node, bad.err)
		if try >= 8 {
			return fmt.Errorf("connecting to the DataNodes of a new block: %w", bad.err)
		}
	}
}

// castagnoli is the table of the checksums; the package of the standard library keeps it.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }
