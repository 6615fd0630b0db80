"""What happens in the cluster, kept and handed on: streams, lists, the store, the queue."""
