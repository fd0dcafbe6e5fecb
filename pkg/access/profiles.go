package access

import "strings"

// setting is one of ClickHouse's.
type setting struct{ Name, Value string }

// profile are settings of the users of some roles.
type profile struct {
	Name   string
	Values []setting
	// Changeable are the settings that a query may still change.
	Changeable []string
	has        func(Role) bool
}

// profiles bind those who only read. They read through views that have the definer's
// rights, and ClickHouse hands a reader's settings down to the query of such a view. So
// no setting may be changed that reaches into it: additional_table_filters, for one,
// evaluates any condition on the tables below, and counts and errors then tell what is
// in columns and rows that the view does not show (seen with ClickHouse 26.7).
func profiles() []profile {
	readOnly := setting{"readonly", "1"}
	return []profile{
		{
			Name: "rollcall_reader", Values: []setting{readOnly}, Changeable: harmless(),
			has: func(r Role) bool { return r.ReadOnly && !r.Filtered },
		},
		{
			Name: "rollcall_partner", Values: append([]setting{readOnly}, barrier()...), Changeable: harmless(),
			has: func(r Role) bool { return r.Filtered },
		},
	}
}

// barrier keeps a partner's conditions from being evaluated on other partners' rows.
// ClickHouse applies a row policy of a view as a filter above the view's own query, and
// its optimizer moves conditions of the reader's query below it; one that fails on a
// value (throwIf) then tells of rows that are never shown (seen with 26.7). Without
// optimizations of the plan, the filter comes first.
func barrier() []setting {
	return []setting{{"query_plan_enable_optimizations", "0"}, {"enable_analyzer", "1"}}
}

// harmless are settings that clients send along and that bound or render an answer.
func harmless() []string {
	return []string{
		"async_insert", "date_time_output_format", "enable_http_compression", "log_comment", "max_block_size", "max_execution_time",
		"max_memory_usage", "max_result_bytes", "max_result_rows", "max_threads", "output_format_json_quote_64bit_integers",
		"result_overflow_mode", "send_progress_in_http_headers",
	}
}

// statement makes the profile and gives it to its roles.
func (p profile) statement(roles []Role) string {
	var settings, holders []string
	for _, s := range p.Values {
		settings = append(settings, s.Name+" = "+s.Value)
	}
	for _, name := range p.Changeable {
		settings = append(settings, name+" CHANGEABLE_IN_READONLY")
	}
	for _, role := range roles {
		if p.has(role) {
			holders = append(holders, role.Name)
		}
	}
	return "CREATE SETTINGS PROFILE OR REPLACE " + p.Name + " SETTINGS " + strings.Join(settings, ", ") + " TO " + strings.Join(holders, ", ")
}

// profileOf returns the name of the role's profile.
func profileOf(role Role) string {
	for _, p := range profiles() {
		if p.has(role) {
			return p.Name
		}
	}
	return "default"
}
