"""What an operator needs beside the service itself: the image, the cluster, dashboards and alerts, fronts."""
