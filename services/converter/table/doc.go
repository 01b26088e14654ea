// Package table reads rows of text that strangers wrote: CSV and TSV, JSON lines, JSON arrays. It is the common ground
// of the formats csv, jsonl and image-table.
//
// # Rows
//
// A Splitter finds where a row ends: CSV(comma), Lines or Array. A Scanner gives the rows of a stream one by one, with
// the line each begins on; Blocks cuts a file into runs of whole rows instead. Fields cuts a row of CSV into
// its fields, Flattener a JSON object into its values; neither allocates once it is warm.
//
// CSV is that of RFC 4180: fields may be quoted, a quoted field may hold line ends and doubled quotes, lines end with LF or CR LF,
// blank lines are no rows. A quote within a field that doesn't begin with one is taken as it stands, as pandas does (5" pipe).
// Text behind a closing quote, and a quote that is never closed, leave the row out. After the latter, reading
// goes on with the next line, so that a stray quote costs one row; more than MaxUnclosed of them in a file are refused.
//
// # Text
//
// Text is UTF-8, with or without a byte order mark. CheckHead refuses UTF-16, NUL bytes and Latin-1 with the line and how to
// mend it. Invalid UTF-8 further on leaves its row out.
//
// # Types
//
// A column's type is inferred from all of its rows, see Kind and Column. Observations of parts of a file add up in any order.
//
// # Limits
//
// A row has at most MaxRowBytes, MaxColumns fields, and as JSON MaxDepth levels and MaxTokens values. Longer rows are left
// out while they are read, without being held in memory.
package table
