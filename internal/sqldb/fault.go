package sqldb

import (
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
)

// A Fault is what an error of the database says of what can be done.
type Fault int

const (
	// Broken: the connection, the server, the table or the permission. Nothing can be said of rows.
	Broken Fault = iota
	// Row: a row of the statement can never be written as it is.
	Row
	// Again: the transaction was undone for the sake of others and may be repeated.
	Again
)

// FaultOf tells by SQLSTATE and error number what an error means.
func FaultOf(err error) Fault {
	var pg *pgconn.PgError
	var my *mysql.MySQLError
	var lite *sqlite.Error
	switch {
	case errors.As(err, &pg):
		return postgresFault(pg)
	case errors.As(err, &my):
		return mysqlFault(my)
	case errors.As(err, &lite):
		return sqliteFault(lite.Code())
	case errors.Is(err, mysql.ErrPktTooLarge): // before anything was sent
		return Row
	}
	return Broken
}

// postgresFault goes by the class of a SQLSTATE, with the few codes that are not like their class.
func postgresFault(e *pgconn.PgError) Fault {
	switch e.Code {
	case "40001", "40P01", "55P03": // serialization failure, deadlock, a lock that was not to be had
		return Again
	case "21000", // two rows of a statement are the same for ON CONFLICT DO UPDATE
		"44000", // WITH CHECK OPTION
		"54000": // the row, or its entry in an index, is too large
		return Row
	case "42501": // a missing permission; of one row where policies say so
		if strings.Contains(e.Routine, "ExecWithCheckOptions") {
			return Row
		}
		return Broken
	}
	switch e.Code[:min(2, len(e.Code))] {
	case "22", "23", "P0": // data, constraints, what a trigger raises
		return Row
	}
	return Broken
}

// mysqlFault goes by the number, and by the class of the SQLSTATE for those that have one.
func mysqlFault(e *mysql.MySQLError) Fault {
	switch e.Number {
	case 1213, 1205, 1020, 1637: // deadlock, lock wait timeout, changed since it was read, too many transactions
		return Again
	case 1364: // a column without a value has no default: of all rows
		return Broken
	case 1048, 1062, 1118, 1138, 1153, 1169, 1264, 1265, 1292, 1301, 1366, 1367, 1371, 1406, 1411, 1416, 1425, 1426, 1441, 1452, 1216, 1525,
		1526, 1557, 1586, 1644, 1690, 1748, 1761, 1762, 1906, 3140, 3141, 3143, 3146, 3157, 3819, 3854, 3903, 4025, 4161:
		return Row
	}
	switch string(e.SQLState[:2]) {
	case "22", "23", "44":
		return Row
	case "45": // SIGNAL of a trigger
		return Row
	case "40":
		return Again
	}
	return Broken
}

// sqliteFault goes by the result code, whose low byte is the kind of error.
func sqliteFault(code int) Fault {
	switch code & 0xff {
	case 5, 6: // BUSY, LOCKED
		return Again
	case 18, 19, 20: // TOOBIG, CONSTRAINT, MISMATCH
		return Row
	}
	return Broken
}

// Reason is an error of the database in its own words, with what it says beside them.
func Reason(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	return &reason{err, pg}
}

type reason struct {
	error
	pg *pgconn.PgError
}

func (r *reason) Error() string {
	text := r.pg.Message
	if r.pg.Detail != "" {
		text += ": " + strings.TrimSuffix(r.pg.Detail, ".")
	}
	return text + " (SQLSTATE " + r.pg.Code + ")"
}

func (r *reason) Unwrap() error { return r.error }

var (
	copyLine = regexp.MustCompile(`^COPY .*?, \D*?(\d+)`)
	atRow    = regexp.MustCompile(` at row (\d+)`)
)

// RowOf is the row of a statement that an error names, counted from 0. It can be a wrong one: what it is good for is
// where to look first.
func RowOf(err error) (int, bool) {
	var pg *pgconn.PgError
	var my *mysql.MySQLError
	var m []string
	switch {
	case errors.As(err, &pg):
		where, _, _ := strings.Cut(pg.Where, ", column ")
		m = copyLine.FindStringSubmatch(where)
	case errors.As(err, &my):
		m = atRow.FindStringSubmatch(my.Message)
	}
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(m[1])
	if err != nil || n < 1 {
		return 0, false
	}
	return n - 1, true
}
