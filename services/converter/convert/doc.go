// Package convert turns an upload into a TensorFlow dataset: TFRecord shards with the
// metadata that tfds.builder_from_directory reads, a manifest and a report; see package dataset for the formats.
//
// It knows nothing of AWS, gRPC or SQL. A conversion has three steps, which may run on different
// machines and may each run any number of times with byte-identical results:
//
//	plan, err := convert.MakePlan(ctx, src, opts, scratchDir)       // once per upload
//	result, err := convert.RunTask(ctx, convert.Task{...})          // for each i < len(plan.Tasks)
//	output, err := convert.Merge(plan, results)                     // once all results are there
//
// MakePlan looks at the archive's directory or the bare file, finds the dataset format and writes a plan file into
// the scratch folder. The plan decides everything: which record goes into which shard and in which
// order. It is a pure function of the source's bytes, the Options and Version, so a plan made twice is the
// same to the byte. The file may be stored as one object and opened again by OpenPlan through any
// source.Source; a task reads its own section alone, so its memory doesn't grow with the upload.
//
// RunTask reads its chunks of the source, checks every record, writes its shards to files in the
// scratch folder and hands each to the Sink with its SHA-256, and beside it the shard's index (package shardindex). A TaskResult is plain JSON.
//
// Merge checks that the results fit the plan, applies Options.MaxBadFraction and returns the files
// to put beside the shards; manifest.json must be put last, with If-None-Match: *, because a
// dataset exists from the moment its manifest does.
//
// Local does all of it from a file to a folder.
//
// # Errors
//
// *reject.Error: the upload can't become a dataset, trying again gives the same; Reason and Message
// are for the user. source.ErrChanged: the object was replaced. scratch.ErrFull: this machine has too little disk;
// return the work. Anything else is a fault of the surroundings and may be tried again.
//
// # How many bad files are too many
//
// A file that was meant to be an example and can't become one is bad: truncated images, refused
// paths, images of a kind not read. Files that never meant to be data (README.txt, .DS_Store) are
// listed in report.json but are not bad. A conversion fails
//   - when more than half of the candidates are bad, unless MaxBadFraction is at least 0.5, or
//   - when more than MaxBadFraction of them and more than BadFloor files are bad. The floor lets a
//     small archive with one truncated picture through, where 1 % would be less than one file.
//     MaxBadFraction 0 allows none at all: the floor doesn't apply.
//
// Annotations have an account of their own with the same limit. Those of a picture that is left out are left out with it.
//
// # Records, blocks and the spill
//
// A record is a file, or a few files side by side, of the archive; or a row of a file. Rows are planned by the block: a
// run of whole rows where they lie, some 64 KiB, of which the plan knows place, number and each row's split. A task reads
// blocks as it reads files and cuts them to rows.
//
// What can't be read at any offset where it lies goes to the spill, a file on scratch disk: tables that are
// deflated in a zip, and the rows of columnar files. The plan says how the spill came about, so that a task on another machine makes the same. A
// compressed stream as a whole is unpacked to scratch disk in the same way. Space is checked before and while they are written.
//
// # Splits
//
// A record's split is drawn by a seeded hash of its key, its path below the dataset's root (and a row's number), so
// that it doesn't change when other files come or go, or when the archive is wrapped in another
// folder. If a wanted split would get no record and there are enough to go round, the record with the smallest hash moves there from the
// largest split. Where the archive has split folders of its own, they are taken as they are; a
// validation split without a folder is then drawn from train by hash (training can't stop early
// without one), and a test split is not invented.
//
// # Order and shards
//
// As in CONVERSION.md, 7, with one refinement: chunks, contiguous runs of the source of about 1 MiB,
// are dealt to tasks and windows like cards, in an order drawn from the seed, so that each task and
// each window is a fair sample of the whole source (see dealChunks; by chance alone tasks get too
// much of one class). A task is so large that the smallest split fills about one shard of
// Options.ShardBytes in it. Within a window of 64 MiB, records are shuffled and dealt in turn to the
// task's shards of their split; rows in batches of 4 MiB, each with blocks of all of the window's chunks, because rows that lie
// anywhere in 64 MiB are waited for one by one. A dataset smaller than a task is one task, and a split smaller than
// ShardBytes is one shard: more files would only be smaller ones.
//
// Of rows, a block goes to one task as a whole, so that of a class-sorted table of many tasks a shard's class shares differ by
// more than chance explains; consecutive records are as mixed as those of files.
//
// # Memory
//
// Planning takes about 80 bytes an entry and its path, and Options.Limits bounds the entries; what formats note of records is kept on scratch disk. A
// task holds two windows of 64 MiB, one being read and one being encoded, and of rows some batches, whatever the size of the source; of a local
// file, or the spill, with rows or with images of some size it holds no window at all. Set GOMEMLIMIT to 200 MiB to stay below 256 MiB.
package convert
