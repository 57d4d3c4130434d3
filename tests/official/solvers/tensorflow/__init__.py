"""Stands in for TensorFlow, of which simvue-tensorflow wants one class: it is 600 MB."""
