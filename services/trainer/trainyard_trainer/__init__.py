"""The program that runs inside Trainyard's training image.

It promises SageMaker's container contract: it reads its parameters and channels under one base
directory, leaves the model, its evaluation and, when it fails, the reason there too, and exits 0
only on success. localcloud runs the same program, unchanged, as a local process. It needs no
network and no AWS credentials.
"""
