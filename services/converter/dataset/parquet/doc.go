// Package parquet reads Parquet files: the tables of pandas, Spark and DuckDB, and the datasets of Hugging Face.
//
// # Columns
//
// A struct's fields become features of their own, a.b. A list of values is a sequence, or a tensor where all lists of numbers have the same
// lengths; lists in lists are ragged; a list of structs, and a map, is a sequence of dicts. A value that is missing is 0 and has
// a 1 in the feature COLUMN_missing; of texts it is empty, of classes -1, of floats in a list NaN. A list that is missing is empty.
//
//	integers                  int8 to int64, uint8 to uint64
//	float16, float, double    float32, which is all that a tf.train.Example has
//	decimal                   float32
//	date, time, timestamp     int64 in microseconds, rounded down, since 1970-01-01 or midnight
//	string, enum, JSON, UUID  text; with at most table.MaxCategories values, each there twice on average, a ClassLabel
//	other bytes               string
//
// Of Hugging Face's metadata, Image, Audio and ClassLabel are understood; a struct of bytes and path is looked into even without. Images and
// sounds are stored as by image-folder and audio-folder.
//
// # Bounds
//
// Of the library parquet-go, the decoders of Thrift and of the encodings are used, and not its readers of files: those believe what a file
// says. Here the footer and every page's header are walked before they are decoded, chunks must not overlap, a page is
// unpacked to no more than the size it claims, and the runs in it are counted before they are expanded. What the library still panics at is
// a damaged file. In memory are the footer, of each column one
// page and its dictionary, at most maxHeld together, and maxAhead of pages that are decoded before they are needed.
package parquet
