"""Python layers that go wrong in one way each; loaded from their file, where ``import caffe`` finds the stand-in."""
