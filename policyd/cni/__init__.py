"""policyd-cni: the chained CNI plugin that holds a pod's start until its rules are in force."""
