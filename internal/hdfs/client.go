package hdfs

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"io/fs"
	"iter"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path"
	"strings"
	"sync"
	"time"
)

const (
	dialTimeout   = 10 * time.Second
	leaseInterval = 20 * time.Second // a lease of which nothing is heard for 60 s may be taken by others
	createFlag    = 0x01
	overwriteFlag = 0x02
	replicateFlag = 0x80 // not erasure coded: such files have no flush
	modeDefault   = 0o644
	recoverPause  = 500 * time.Millisecond
	recoverAgain  = 4 * time.Second
)

// A client is an HDFS cluster.
type client struct {
	nn     *namenode
	caller *caller
	name   string // holder of the leases
	o      Options
	log    *slog.Logger

	pipe   pipeSettings
	umask  fs.FileMode
	budget *budget
	keys   transferKeys

	ctx  context.Context // ends with Close
	end  context.CancelFunc
	done sync.WaitGroup

	mu     sync.Mutex
	files  map[*writer]struct{} // whose lease is to be renewed
	warned map[string]time.Time // when the log was told of a DataNode last
}

// pipeSettings are the settings of hdfs-site.xml for data.
type pipeSettings struct {
	byName      bool          // connect to DataNodes by their names
	timeout     time.Duration // for an answer of one node; 5 s more for each in the pipeline
	window      int           // bytes of a file that may be without acknowledgement
	packet      int           // bytes of data in a packet, a multiple of a chunk
	replace     replacePolicy
	bestEffort  bool
	minimum     int // replicas with which a pipeline goes on when none is to be had
	replication int
	blockSize   int64
}

type replacePolicy int

const (
	replaceFlushed replacePolicy = iota // ours, where nothing is set
	replaceDefault                      // Hadoop's, where that is asked for
	replaceAlways
	replaceNever
)

func userOfProcess() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return os.Getenv("USER")
}

func newClient(authority string, o Options) (*client, error) {
	conf := o.Conf
	addrs, err := conf.nameNodes(authority)
	if err != nil {
		return nil, err
	}
	who := newCaller()
	who.login = o.Login
	who.dial = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}}).DialContext
	who.user, who.proxy = o.User, o.ProxyUser
	if o.Login != nil {
		who.user = o.Login.User()
	}
	if who.user == "" {
		who.user = os.Getenv("HADOOP_USER_NAME")
	}
	if who.user == "" {
		who.user = userOfProcess()
	}
	c := &client{
		caller: who, name: "sluice_" + hex.EncodeToString(who.id[:]), o: o, log: o.Log, files: map[*writer]struct{}{}, warned: map[string]time.Time{},
		nn: &namenode{
			caller: who, addrs: addrs, patience: o.CallTimeout, try: 20 * time.Second,
			principal: conf.Get("dfs.namenode.kerberos.principal", ""), dialing: make(chan struct{}, 1),
		},
		pipe: pipeSettings{
			byName:      conf.Bool("dfs.client.use.datanode.hostname", false),
			timeout:     conf.Duration("dfs.client.socket-timeout", time.Millisecond, time.Minute),
			window:      2 << 20,
			packet:      max(chunk, int(min(conf.Size("dfs.client-write-packet-size", 64<<10), 1<<20))/(chunk+4)*chunk),
			bestEffort:  conf.Bool("dfs.client.block.write.replace-datanode-on-failure.best-effort", true),
			minimum:     int(conf.Int("dfs.client.block.write.replace-datanode-on-failure.min-replication", 0)),
			replication: int(conf.Int("dfs.replication", 3)),
			blockSize:   conf.Size("dfs.blocksize", conf.Size("dfs.block.size", 128<<20)),
		},
	}
	c.budget = newBudget(max(o.Buffer, c.pipe.packet)) // what is asked for at once must fit
	mask := conf.Get("fs.permissions.umask-mode", "022")
	if _, err := fmt.Sscanf(mask, "%o", &c.umask); err != nil {
		return nil, fmt.Errorf("reading fs.permissions.umask-mode %q: an octal number is expected", mask)
	}
	switch p := conf.Get("dfs.client.block.write.replace-datanode-on-failure.policy", ""); strings.ToUpper(p) {
	case "DEFAULT":
		c.pipe.replace = replaceDefault
	case "ALWAYS":
		c.pipe.replace = replaceAlways
	case "NEVER":
		c.pipe.replace = replaceNever
	}
	if !conf.Bool("dfs.client.block.write.replace-datanode-on-failure.enable", true) {
		c.pipe.replace = replaceNever
	}
	c.ctx, c.end = context.WithCancel(context.Background())
	c.done.Go(c.keepLeases)
	return c, nil
}

// keepLeases renews the lease while files are open. One lease holds all of them.
func (c *client) keepLeases() {
	t := time.NewTicker(leaseInterval)
	defer t.Stop()
	failed := false
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-t.C:
		}
		c.mu.Lock()
		n := len(c.files)
		c.mu.Unlock()
		if n == 0 {
			continue
		}
		_, err := c.nn.call(c.ctx, "renewLease", new(message).text(1, c.name))
		if err != nil && c.ctx.Err() == nil && !failed {
			c.log.Warn("The lease of the open HDFS files is not renewed.", "error", err)
		}
		failed = err != nil
	}
}

func (c *client) enlist(w *writer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files == nil {
		return fs.ErrClosed
	}
	c.files[w] = struct{}{}
	return nil
}

// nodeFailed tells the log of a DataNode, once a minute: many files can lose it at once.
func (c *client) nodeFailed(n *node, err error) {
	addr := n.addr(false)
	c.mu.Lock()
	quiet := time.Since(c.warned[addr]) < time.Minute
	if !quiet {
		c.warned[addr] = time.Now()
	}
	c.mu.Unlock()
	if !quiet {
		c.log.Warn("A DataNode does not do its part; its files go on with others.", "node", addr, "error", err)
	}
}

func (c *client) strike(w *writer) {
	c.mu.Lock()
	delete(c.files, w)
	c.mu.Unlock()
}

func (c *client) Close() error {
	c.mu.Lock()
	files := c.files
	c.files = nil
	c.mu.Unlock()
	for w := range files {
		w.Abandon()
	}
	c.end()
	c.done.Wait()
	c.nn.close()
	return nil
}

// wrap says which file an error is about.
func wrap(doing, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", doing, name, err)
}

func (c *client) Create(ctx context.Context, name string, o CreateOptions) (File, error) {
	if o.Replication <= 0 {
		o.Replication = c.pipe.replication
	}
	if o.BlockSize <= 0 {
		o.BlockSize = c.pipe.blockSize
	}
	if o.Permission == 0 {
		o.Permission = modeDefault
	}
	flags := uint64(createFlag | replicateFlag)
	if !o.New {
		flags |= overwriteFlag
	}
	m := new(message).text(1, name).bytes(2, *new(message).num(1, uint64(o.Permission&^c.umask))).text(3, c.name).
		num(4, flags).flag(5, true).num(6, uint64(o.Replication)).num(7, uint64(o.BlockSize)).
		bytes(9, *new(message).num(1, uint64(o.Permission)))
	data, err := c.nn.call(ctx, "create", m)
	if err != nil {
		return nil, wrap("creating", name, err)
	}
	field, _, err := only(data, 1)
	if err != nil {
		return nil, wrap("creating", name, err)
	}
	f, err := decodeStatus(field)
	if err != nil {
		return nil, wrap("creating", name, err)
	}
	w, err := c.open(name, f, nil)
	return w, wrap("creating", name, err)
}

func (c *client) Append(ctx context.Context, name string) (File, error) {
	data, err := c.nn.call(ctx, "append", new(message).text(1, name).text(2, c.name).num(3, 4))
	if err != nil {
		return nil, wrap("appending to", name, err)
	}
	var last *located
	var f status
	s := scan{rest: data}
	for s.next() {
		switch s.no {
		case 1:
			var l located
			if l, s.err = decodeLocated(s.data); s.err == nil {
				last = &l
			}
		case 2:
			f, s.err = decodeStatus(s.data)
		}
	}
	if s.err == nil && f.BlockSize == 0 { // a server older than 2.7 does not say
		f, s.err = c.status(ctx, name)
	}
	if s.err != nil {
		return nil, wrap("appending to", name, s.err)
	}
	w, err := c.open(name, f, last)
	return w, wrap("appending to", name, err)
}

// open starts to write; last is the block to go on with.
func (c *client) open(name string, f status, last *located) (File, error) {
	if f.encrypted || f.striped {
		return nil, errors.New("files in encryption zones and erasure-coded files cannot be written")
	}
	if f.BlockSize < chunk || f.BlockSize%chunk != 0 {
		return nil, fmt.Errorf("its block size of %d bytes is no multiple of %d", f.BlockSize, chunk)
	}
	w := newWriter(c, name, f, last)
	if err := c.enlist(w); err != nil {
		return nil, err
	}
	c.done.Go(w.run)
	return w, nil
}

func (c *client) status(ctx context.Context, name string) (status, error) {
	data, err := c.nn.call(ctx, "getFileInfo", new(message).text(1, name))
	if err != nil {
		return status{}, err
	}
	field, _, err := only(data, 1)
	if err != nil {
		return status{}, err
	}
	if field == nil {
		return status{}, fs.ErrNotExist
	}
	f, err := decodeStatus(field)
	f.Name = path.Base(name)
	return f, err
}

func (c *client) Stat(ctx context.Context, name string) (Info, error) {
	f, err := c.status(ctx, name)
	return f.Info, wrap("looking at", name, err)
}

func (c *client) List(ctx context.Context, dir string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		for after, more := "", true; more; {
			page, remaining, err := c.list(ctx, dir, after)
			if err != nil {
				yield(Info{}, wrap("listing", dir, err))
				return
			}
			for _, f := range page {
				after = f.Name
				if !yield(f.Info, nil) {
					return
				}
			}
			more = remaining > 0 && len(page) > 0
		}
	}
}

func (c *client) list(ctx context.Context, dir, after string) (page []status, remaining uint64, err error) {
	data, err := c.nn.call(ctx, "getListing", new(message).text(1, dir).text(2, after).flag(3, false))
	if err != nil {
		return nil, 0, err
	}
	field, _, err := only(data, 1)
	if err != nil {
		return nil, 0, err
	}
	if field == nil {
		return nil, 0, fs.ErrNotExist
	}
	s := scan{rest: field}
	for s.next() {
		switch s.no {
		case 1:
			f, err := decodeStatus(s.data)
			if err != nil {
				return nil, 0, err
			}
			page = append(page, f)
		case 2:
			remaining = s.num
		}
	}
	return page, remaining, s.err
}

func (c *client) Rename(ctx context.Context, from, to string) error {
	_, err := c.nn.call(ctx, "rename2", new(message).text(1, from).text(2, to).flag(3, false))
	if err != nil {
		return fmt.Errorf("renaming %s to %s: %w", from, to, err)
	}
	return nil
}

func (c *client) Delete(ctx context.Context, name string, recursive bool) error {
	_, err := c.nn.call(ctx, "delete", new(message).text(1, name).flag(2, recursive))
	return wrap("deleting", name, err)
}

func (c *client) Mkdirs(ctx context.Context, name string) error {
	const mode = 0o777
	_, err := c.nn.call(ctx, "mkdirs", new(message).text(1, name).bytes(2, *new(message).num(1, uint64(mode&^c.umask))).flag(3, true).
		bytes(4, *new(message).num(1, mode)))
	return wrap("making the directory", name, err)
}

// Recover asks again every few seconds: the NameNode gives the work to one DataNode at a time, which may be gone.
func (c *client) Recover(ctx context.Context, name string) (Info, error) {
	asked := time.Time{}
	for {
		var closed bool
		var err error
		if time.Since(asked) >= recoverAgain {
			asked = time.Now()
			closed, err = c.yes(ctx, "recoverLease", new(message).text(1, name).text(2, c.name))
			var remote *RemoteError
			if errors.As(err, &remote) && remote.is("RecoveryInProgressException", "AlreadyBeingCreatedException") {
				err = nil
			}
		} else {
			closed, err = c.yes(ctx, "isFileClosed", new(message).text(1, name))
		}
		if err != nil {
			return Info{}, wrap("recovering the lease of", name, err)
		}
		if closed {
			return c.Stat(ctx, name)
		}
		if err := pause(ctx, recoverPause); err != nil {
			return Info{}, wrap("recovering the lease of", name, err)
		}
	}
}

func (c *client) Truncate(ctx context.Context, name string, size int64) error {
	done, err := c.yes(ctx, "truncate", new(message).text(1, name).num(2, uint64(size)).text(3, c.name))
	for err == nil && !done { // the last block is cut by a recovery
		if err = pause(ctx, recoverPause); err == nil {
			done, err = c.yes(ctx, "isFileClosed", new(message).text(1, name))
		}
	}
	return wrap("truncating", name, err)
}

// yes does a call that answers true or false.
func (c *client) yes(ctx context.Context, method string, m *message) (bool, error) {
	data, err := c.nn.call(ctx, method, m)
	if err != nil {
		return false, err
	}
	_, yes, err := only(data, 1)
	return yes != 0, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
