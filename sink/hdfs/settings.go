package hdfs

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/internal/escape"
	"github.com/sluice-io/sluice/internal/hadoopcodec"
	"github.com/sluice-io/sluice/internal/hdfs"
	"github.com/sluice-io/sluice/internal/home"
	"github.com/sluice-io/sluice/internal/javatime"
	"github.com/sluice-io/sluice/internal/serializer"
)

// Settings are what an HDFS sink can be told.
type Settings struct {
	path, prefix, suffix         string
	inUsePrefix, inUseSuffix     string
	emptyInUseSuffix             bool
	rollInterval, idle           time.Duration
	rollSize, rollCount          int64
	batchSize                    int
	codec                        string
	fileType                     fileType
	writeFormat                  writeFormat
	javaClass                    conf.Values
	flumeFormat                  string
	maxOpenFiles, minReplicas    int
	threads, timerThreads        int
	callTimeout                  time.Duration
	principal, keytab, proxyUser string
	round                        bool
	roundValue                   int
	roundUnit                    string
	zone                         string
	local                        bool
	closeTries                   int
	retryInterval                time.Duration
	raw                          bool
	serializer                   serializer.Settings
	hsync                        bool
	journalDir                   string
	once                         bool
	oncePath, onceName           string

	escapes     escape.Options
	compression hadoopcodec.Codec
	dir         *escape.Template
	base        *escape.Template
}

// fileType is what the files of a sink are.
type fileType string

const (
	sequenceFile     fileType = "SequenceFile"
	dataStream       fileType = "DataStream"
	compressedStream fileType = "CompressedStream"
)

// writeFormat is the class of a SequenceFile's values.
type writeFormat string

const (
	writable writeFormat = "Writable"
	text     writeFormat = "Text"
)

// unset is the minBlockReplicas of a file that nobody has set.
const unset = -1

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.path, "hdfs.path", "", "The directory for the files, as a URI hdfs://host:port/dir or file:///dir; without a scheme it lies on fs.defaultFS of the Hadoop configuration. %{header} and %Y-%m-%d stand for the values of each event.").Required()
	d.String(&s.prefix, "hdfs.filePrefix", "FlumeData", "What names begin with; with escapes as hdfs.path.")
	d.String(&s.suffix, "hdfs.fileSuffix", "", "What names end with, such as .log, in place of the codec's extension.")
	d.String(&s.inUsePrefix, "hdfs.inUsePrefix", "", "What the names of files that are written to begin with, in front of hdfs.filePrefix.")
	d.String(&s.inUseSuffix, "hdfs.inUseSuffix", ".tmp", "What the names of files that are written to end with.")
	d.Bool(&s.emptyInUseSuffix, "hdfs.emptyInUseSuffix", false, "Whether files have their final names from the start; hdfs.inUseSuffix has no effect then.")
	d.Seconds(&s.rollInterval, "hdfs.rollInterval", 30*time.Second, "How many seconds one file is written to; 0 is without end.")
	d.Int64(&s.rollSize, "hdfs.rollSize", 1024, "After how many bytes of bodies, before compression, the next event begins a new file; 0 is never.")
	d.Int64(&s.rollCount, "hdfs.rollCount", 10, "After how many events the next one begins a new file; 0 is never.")
	d.Seconds(&s.idle, "hdfs.idleTimeout", 0, "After how many seconds without an event a file is closed; 0 is never.")
	d.BatchSize(&s.batchSize, "hdfs.batchSize", 100, "How many events are taken in one transaction; more, where more are there. What is taken is flushed before the channel commits.").AtLeast(1)
	d.String(&s.codec, "hdfs.codeC", "", "How files are compressed, by the names of Hadoop's codecs: "+hadoopcodec.Names+". Of a SequenceFile the blocks are.")
	conf.Choice(d, &s.fileType, "hdfs.fileType", sequenceFile, "What the files are: SequenceFile (Hadoop's container of key and value, the timestamp and the body), DataStream (what the serializer makes) or CompressedStream (the same, compressed).",
		sequenceFile, dataStream, compressedStream)
	conf.Choice(d, &s.writeFormat, "hdfs.writeFormat", writable, "The class of a SequenceFile's values: Writable (bytes) or Text.", writable, text)
	d.String(&s.flumeFormat, "hdfs.useFlumeEventFormat", "", "Is no setting of this sink and has no effect.")
	d.Rest(&s.javaClass, "writeFormat.", "Settings of a Java class for hdfs.writeFormat; they have no effect.")
	d.Int(&s.maxOpenFiles, "hdfs.maxOpenFiles", 5000, "How many files are open at most; the one that was used longest ago is closed for one more.").AtLeast(1)
	d.Int(&s.minReplicas, "hdfs.minBlockReplicas", unset, "How many DataNodes must hold what is written, else the file is closed and a new one begun. Without it: as many as the file had when it was begun.").AtLeast(unset).
		Default = ""
	d.Int(&s.threads, "hdfs.threadsPoolSize", 10, "How many files are written to at a time; it never is less than 256, as nothing is gained by less.").AtLeast(1)
	d.Int(&s.timerThreads, "hdfs.rollTimerPoolSize", 1, "Threads of Flume's for its timers; it has no effect.").AtLeast(1)
	d.Millis(&s.callTimeout, "hdfs.callTimeout", 30*time.Second, "How many milliseconds a call of the file system may take; 0 is an hour.")
	d.String(&s.principal, "hdfs.kerberosPrincipal", "", "Who to log in as by Kerberos; _HOST in it stands for the name of the host.")
	d.String(&s.keytab, "hdfs.kerberosKeytab", "", "The key tab of hdfs.kerberosPrincipal.")
	d.String(&s.proxyUser, "hdfs.proxyUser", "", "The user whose files they are, where the cluster lets the one who logs in act for others.")
	d.Bool(&s.round, "hdfs.round", false, "Whether times in names are rounded down, so that one directory has those of several minutes, say.")
	d.Int(&s.roundValue, "hdfs.roundValue", 1, "To multiples of how many hdfs.roundUnit: 1 to 60 seconds or minutes, 1 to 24 hours.")
	d.String(&s.roundUnit, "hdfs.roundUnit", "second", "The unit of hdfs.roundValue: second, minute or hour.")
	d.String(&s.zone, "hdfs.timeZone", "", "The time zone of names, such as Europe/Berlin or GMT+5; without it the host's.")
	d.Bool(&s.local, "hdfs.useLocalTimeStamp", false, "Whether names have the time of writing, not that of the event's header timestamp.")
	d.Int(&s.closeTries, "hdfs.closeTries", 0, "How often closing and renaming a file are tried every hdfs.retryInterval, until its lease is taken away instead; 0 is without end, and soon after the first.")
	d.Seconds(&s.retryInterval, "hdfs.retryInterval", 180*time.Second, "How many seconds after one failure to close or rename a file it is tried again; 0 is not at all.")
	d.Bool(&s.raw, "hdfs.useRawLocalFileSystem", false, "Whether Flume writes no checksums beside files on file://; Sluice never does.")
	d.Under("", &s.serializer)
	d.Bool(&s.hsync, "hdfs.hsync", false, "Whether events must be on the disks of the DataNodes before the channel commits; else in their memory, as in Flume. On file:// they are on the disk always.")
	dir, shown := home.Dir(d)
	d.String(&s.journalDir, "hdfs.journalDir", filepath.Join(dir, ".flume", "hdfs-sink"),
		"The local directory for the list of the files that are open, by which the next start finds those that a crash has left.").
		Default = shown + "/.flume/hdfs-sink"
	d.Bool(&s.once, "hdfs.exactlyOnce", false, "Whether to keep beside the files which events of Kafka are in them, so that none is written twice.")
	d.String(&s.oncePath, "hdfs.exactlyOnce.path", "", "The directory for that; without it _sluice in the directory where hdfs.path is the same for all events.")
	d.String(&s.onceName, "hdfs.exactlyOnce.name", "", "The name of this sink there, which no other may have. The default is AGENT.SINK.")
	d.Check(s.check)
}

// schemes are those of Hadoop that nobody can write to here, with the way out.
func schemes(root string) error {
	scheme, _, _ := strings.Cut(root, "://")
	switch scheme {
	case "hdfs", "file":
		return nil
	case "viewfs", "webhdfs", "swebhdfs":
		return fmt.Errorf("no file system for %s; name the cluster itself: hdfs://host:port/dir", scheme)
	}
	return fmt.Errorf("no file system for %s in this version: there are hdfs and file; keep this hop in Flume, with an avro source that an avro sink here sends to", scheme)
}

func (s *Settings) check() error {
	var problems []error
	problem := func(key string, err error) { problems = append(problems, conf.At(key, err)) }
	warn := func(key, text string) { problems = append(problems, conf.Warn(key, errors.New(text))) }
	s.escapes = escape.Options{Local: s.local}
	if s.zone != "" {
		zone, known := javatime.Zone(s.zone)
		if s.escapes.Zone = zone; !known {
			warn("hdfs.timeZone", fmt.Sprintf("%q is no time zone that Java knows, so that it means GMT, as in Flume; did you mean GMT+h or a name such as Europe/Berlin?", s.zone))
		}
	}
	if err := s.rounding(warn); err != nil {
		problem("hdfs.roundValue", err)
	}
	var err error
	if s.dir, err = escape.Parse(s.path, s.escapes); err != nil {
		problem("hdfs.path", err)
	}
	if s.base, err = escape.Parse(s.prefix, s.escapes); err != nil {
		problem("hdfs.filePrefix", err)
	}
	if err := s.checkRoot(); err != nil {
		problem("hdfs.path", err)
	}
	for _, x := range [][2]string{{"fileSuffix", s.suffix}, {"inUsePrefix", s.inUsePrefix}, {"inUseSuffix", s.inUseSuffix}} {
		if strings.ContainsAny(x[1], "/\x00\n") {
			problem("hdfs."+x[0], fmt.Errorf("%q cannot be a part of the name of a file", x[1]))
		}
	}
	if s.emptyInUseSuffix {
		s.inUseSuffix = ""
	}
	if s.closeTries < 0 {
		warn("hdfs.closeTries", fmt.Sprintf("%d is taken for 0, which is without end", s.closeTries))
		s.closeTries = 0
	}
	if s.retryInterval <= 0 {
		warn("hdfs.retryInterval", "nothing is tried again, as if hdfs.closeTries were 1")
		s.closeTries, s.retryInterval = 1, time.Minute
	}
	if s.callTimeout <= 0 {
		s.callTimeout = time.Hour
	}
	if (s.principal == "") != (s.keytab == "") {
		problem("hdfs.kerberosPrincipal", errors.New("it and hdfs.kerberosKeytab need each other"))
	}
	if s.flumeFormat != "" {
		warn("hdfs.useFlumeEventFormat", "has no effect, here as in Flume; useFlumeEventFormat is a setting of the Kafka source and sink")
	}
	if len(s.javaClass) > 0 {
		warn("writeFormat."+s.javaClass[0].Key, "has no effect: it is a setting of a Java class")
	}
	if s.once {
		problems = append(problems, s.checkOnce()...)
	}
	return errors.Join(append(problems, s.checkCodec())...)
}

// checkRoot looks at what the path begins with, as far as that is known.
func (s *Settings) checkRoot() error {
	if strings.HasPrefix(s.path, "%") {
		return nil
	}
	root, _, err := hdfs.Split(s.path, hdfs.NewConf())
	switch {
	case err == nil && !strings.HasPrefix(s.path, "/"):
		return schemes(root)
	case strings.HasPrefix(s.path, "hdfs:"): // the Hadoop configuration may name the NameNode
		return nil
	}
	return err
}

func (s *Settings) rounding(warn func(key, text string)) error {
	if !s.round {
		return nil
	}
	r, most := escape.Rounding{Value: s.roundValue}, 60
	switch strings.ToLower(s.roundUnit) {
	case "second":
		r.Unit = escape.Second
	case "minute":
		r.Unit = escape.Minute
	case "hour":
		r.Unit, most = escape.Hour, 24
	default:
		warn("hdfs.roundUnit", fmt.Sprintf("%q is neither second, minute nor hour; nothing is rounded", s.roundUnit))
		r.Value = 0
	}
	if s.roundValue < 1 || s.roundValue > most {
		return fmt.Errorf("%d is not between 1 and %d", s.roundValue, most)
	}
	s.escapes.Round = r
	return nil
}
