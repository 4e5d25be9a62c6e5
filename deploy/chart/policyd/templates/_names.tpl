{{- /* There is one policyd on a node, and so one in a cluster: its objects have one name. */}}
{{- define "policyd.selector" -}}
app.kubernetes.io/name: policyd
{{- end }}

{{- define "policyd.labels" -}}
{{ include "policyd.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "policyd.monitoringLabels" -}}
{{ include "policyd.labels" . }}
{{- with .Values.monitoring.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "policyd.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{- /* What the agent listens on: what is set; else all addresses if somebody is to ask; else the node itself. */}}
{{- define "policyd.listen" -}}
{{- if hasKey .Values.settings "listen" -}}
{{ .Values.settings.listen }}
{{- else if or .Values.monitoring.service .Values.monitoring.podMonitor -}}
:9471
{{- else -}}
127.0.0.1:9471
{{- end }}
{{- end }}

{{- define "policyd.port" -}}
{{ include "policyd.listen" . | splitList ":" | last }}
{{- end }}

{{- /* Where the kubelet asks: the node itself, unless one other address is listened on. */}}
{{- define "policyd.probe" -}}
{{- $host := include "policyd.listen" . | trimSuffix (printf ":%s" (include "policyd.port" .)) | trimAll "[]" -}}
host: {{ get (dict "" "127.0.0.1" "0.0.0.0" "127.0.0.1" "::" "::1") $host | default $host | quote }}
port: {{ include "policyd.port" . }}
{{- end }}

{{- /* Whether pods are judged in their own network namespaces, too. */}}
{{- define "policyd.inside" -}}
{{- if ne (get .Values.settings "placement" | default "host") "host" }}true{{ end }}
{{- end }}

{{- define "policyd.container" -}}
image: {{ include "policyd.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  # Root, because Kubernetes gives capabilities to no other user; and of root's only the one for nftables.
{{- if include "policyd.inside" . }}
  # And the one without which no pod's network namespace can be entered.
{{- end }}
  runAsUser: 0
  privileged: false
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
    add: [NET_ADMIN{{ if include "policyd.inside" . }}, SYS_ADMIN{{ end }}]
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "policyd.pluginMounts" -}}
{{- if or .Values.cleanup (ne .Values.cniPlugin.mode "off") }}
# Where policyd-cni is put, and its entry in the pods' network's chain.
- name: cni-configurations
  mountPath: /etc/cni/net.d
- name: cni-programs
  mountPath: /opt/cni/bin
{{- end }}
{{- end }}

{{- define "policyd.podMounts" -}}
{{- if .Values.cniResults }}
- name: cni-results
  mountPath: /var/lib/cni/results
  readOnly: true
{{- end }}
{{- if include "policyd.inside" . }}
# Where the runtime has the pods' network namespaces.
- name: pod-namespaces
  mountPath: {{ .Values.podNamespaces }}
  mountPropagation: HostToContainer
{{- end }}
{{- end }}

{{- define "policyd.kubeletMounts" -}}
{{- if .Values.kubeletPods }}
# The kubelet's socket is there, where it serves its pods (Kubernetes 1.37); a directory, as each start makes it anew.
- name: kubelet-pods
  mountPath: /var/lib/kubelet/pods-api
  readOnly: true
{{- end }}
{{- end }}

{{- define "policyd.environment" -}}
- name: POLICYD_STATE_DIR
  value: /var/lib/policyd
{{- if .Values.cniResults }}
- name: POLICYD_CNI_CACHE
  value: /var/lib/cni/results
{{- end }}
{{- if .Values.kubeletPods }}
- name: POLICYD_KUBELET_PODS
  value: /var/lib/kubelet/pods-api/pods-api.sock
{{- end }}
{{- if ne .Values.cniPlugin.mode "off" }}
- name: POLICYD_CNI_PLUGIN
  value: {{ .Values.cniPlugin.mode }}
- name: POLICYD_CNI_CONF_DIR
  value: /etc/cni/net.d
- name: POLICYD_CNI_BIN_DIR
  value: /opt/cni/bin
{{- end }}
- name: POLICYD_LISTEN
  value: {{ include "policyd.listen" . | quote }}
{{- range $name, $value := omit .Values.settings "listen" }}
- name: POLICYD_{{ upper $name }}
  value: {{ kindIs "slice" $value | ternary (join "," $value) (toString $value) | quote }}
{{- end }}
{{- end }}
