package recipe

// LabelFeature is the hyperparameter that names the feature of the class. Its names lie beside the shards in a file of the feature's name.
const LabelFeature = "label_feature"

// Parameters that have the same meaning in every recipe that has them.
const (
	// Epochs is how often the data is gone through.
	Epochs = "epochs"
	// Mix is the share of each batch that comes from base datasets.
	Mix = "mix"
)

func imageClassification() *Recipe {
	return &Recipe{
		ID:          "image-classification",
		DisplayName: "Image classification",
		Description: "A convolutional network, sized to the images, that tells which of the dataset's classes an image shows. " +
			"It trains on the dataset's train split together with the chosen base datasets, joined by the names of their " +
			"classes, and is measured on the validation split.",
		Parameters: []Parameter{
			{
				Name: Epochs, DisplayName: "Epochs", Type: Integer, Min: 1, Max: 1000, Default: 5.0, MayChange: true,
				Description: "How often to go through the dataset.",
			},
			{
				Name: "batch_size", DisplayName: "Batch size", Type: Integer, Min: 1, Max: 4096, Default: 64.0,
				Description: "Examples in a training step.",
			},
			{
				Name: "learning_rate", DisplayName: "Learning rate", Type: Float, Min: 1e-6, Max: 1, Default: 0.004,
				Description: "The highest step width of the optimizer, which warms up to it and cools down from it.",
			},
			{
				Name: "image_size", DisplayName: "Image size", Type: Integer, Min: 8, Max: 512, ZeroMeans: "the size of the images", Default: 0.0,
				Description: "Side in pixels that images are scaled to; 0 takes it from the images.",
			},
			{
				Name: "channels", DisplayName: "Colours", Type: Choice, Choices: []string{"auto", "grey", "rgb"}, Default: "auto",
				Description: "Whether the network sees grey or coloured images; auto looks at the images.",
			},
			{
				Name: Mix, DisplayName: "Base share", Type: Float, Min: 0, Max: 1, Default: 0.5,
				Description: "The share of each batch that comes from the base datasets; without any it has no effect.",
			},
			{
				Name: "patience", DisplayName: "Patience", Type: Integer, Min: 0, Max: 1000, Default: 0.0, MayChange: true,
				Description: "End after this many epochs without a better validation loss; 0 trains all epochs.",
			},
			{
				Name: "augment", DisplayName: "Augment", Type: Boolean, Default: true,
				Description: "Shift, turn and scale the training images a little, so that the network learns more from few.",
			},
			{
				Name: "seed", DisplayName: "Seed", Type: Integer, Min: 0, Max: 1<<31 - 1, Default: 42.0,
				Description: "Starting point of everything random.",
			},
		},
		Metrics: trainerMetrics(
			"train:loss", "train:accuracy", "train:learning_rate", "validation:loss", "validation:accuracy",
			"progress:epoch", "progress:examples_per_second",
		),
		EpochMetric: "progress:epoch",
		Objective:   "validation:accuracy",
		Formats:     []string{"image-folder", "image-table", "idx", "parquet", "webdataset", "tfrecord"},
		Inputs: []Input{
			{Parameter: "image_feature", Class: "Image", Default: "image"},
			{Parameter: LabelFeature, Class: "ClassLabel", Default: "label"},
		},
		InputModes:          []InputMode{File, FastFile},
		DefaultInstanceType: "ml.m5.xlarge",
	}
}

// trainerMetrics defines metrics as trainyard_trainer/metrics.py prints them: `[metric] epoch=1 step=50 train:loss=0.31 …`.
func trainerMetrics(names ...string) []Metric {
	metrics := make([]Metric, len(names))
	for i, name := range names {
		metrics[i] = Metric{Name: name, Regex: `\[metric\].* ` + name + `=([-+.0-9eE]+)`}
	}
	return metrics
}
