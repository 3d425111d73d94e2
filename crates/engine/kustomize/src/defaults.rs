//! Where the fields stand that transformers change, for the built-in kinds.
//!
//! One line per field: group, version and kind of the object (`-` for any), `+` where the field is made if it is absent,
//! and its path; `[]` marks lists that may not be made.

/// Where common labels go.
pub(crate) const COMMON_LABELS: &str = "\
- v1 Service + spec/selector\n\
- v1 ReplicationController + spec/selector\n\
- - Deployment + spec/selector/matchLabels\n\
apps - Deployment - spec/template/spec/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels\n\
apps - Deployment - spec/template/spec/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels\n\
apps - Deployment - spec/template/spec/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels\n\
apps - Deployment - spec/template/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels\n\
apps - Deployment - spec/template/spec/topologySpreadConstraints/labelSelector/matchLabels\n\
- - ReplicaSet + spec/selector/matchLabels\n\
- - DaemonSet + spec/selector/matchLabels\n\
apps - StatefulSet + spec/selector/matchLabels\n\
apps - StatefulSet - spec/template/spec/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels\n\
apps - StatefulSet - spec/template/spec/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels\n\
apps - StatefulSet - spec/template/spec/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels\n\
apps - StatefulSet - spec/template/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels\n\
apps - StatefulSet - spec/template/spec/topologySpreadConstraints/labelSelector/matchLabels\n\
batch - Job - spec/selector/matchLabels\n\
batch - CronJob - spec/jobTemplate/spec/selector/matchLabels\n\
policy - PodDisruptionBudget - spec/selector/matchLabels\n\
networking.k8s.io - NetworkPolicy - spec/podSelector/matchLabels\n\
networking.k8s.io - NetworkPolicy - spec/ingress/from/podSelector/matchLabels\n\
networking.k8s.io - NetworkPolicy - spec/egress/to/podSelector/matchLabels\n\
- - - + metadata/labels\n\
- v1 ReplicationController + spec/template/metadata/labels\n\
- - Deployment + spec/template/metadata/labels\n\
- - ReplicaSet + spec/template/metadata/labels\n\
- - DaemonSet + spec/template/metadata/labels\n\
apps - StatefulSet + spec/template/metadata/labels\n\
apps - StatefulSet + spec/volumeClaimTemplates[]/metadata/labels\n\
batch - Job + spec/template/metadata/labels\n\
batch - CronJob + spec/jobTemplate/metadata/labels\n\
batch - CronJob + spec/jobTemplate/spec/template/metadata/labels\n\
";

/// Where labels go that templates get, too.
pub(crate) const TEMPLATE_LABELS: &str = "\
- - - + metadata/labels\n\
- v1 ReplicationController + spec/template/metadata/labels\n\
- - Deployment + spec/template/metadata/labels\n\
- - ReplicaSet + spec/template/metadata/labels\n\
- - DaemonSet + spec/template/metadata/labels\n\
apps - StatefulSet + spec/template/metadata/labels\n\
apps - StatefulSet + spec/volumeClaimTemplates[]/metadata/labels\n\
batch - Job + spec/template/metadata/labels\n\
batch - CronJob + spec/jobTemplate/metadata/labels\n\
batch - CronJob + spec/jobTemplate/spec/template/metadata/labels\n\
";

/// Where annotations go.
pub(crate) const COMMON_ANNOTATIONS: &str = "\
- - - + metadata/annotations\n\
- v1 ReplicationController + spec/template/metadata/annotations\n\
- - Deployment + spec/template/metadata/annotations\n\
- - ReplicaSet + spec/template/metadata/annotations\n\
- - DaemonSet + spec/template/metadata/annotations\n\
- - StatefulSet + spec/template/metadata/annotations\n\
batch - Job + spec/template/metadata/annotations\n\
batch - CronJob + spec/jobTemplate/metadata/annotations\n\
batch - CronJob + spec/jobTemplate/spec/template/metadata/annotations\n\
";

/// Where namespaces stand, apart from the objects' own.
pub(crate) const NAMESPACE: &str = "\
- - Namespace + metadata/name\n\
apiregistration.k8s.io - APIService + spec/service/namespace\n\
apiextensions.k8s.io - CustomResourceDefinition - spec/conversion/webhook/clientConfig/service/namespace\n\
";

/// Where images stand.
pub(crate) const IMAGES: &str = "\
- - - + spec/containers[]/image\n\
- - - + spec/initContainers[]/image\n\
- - - + spec/volumes[]/image/reference\n\
- - - + spec/template/spec/containers[]/image\n\
- - - + spec/template/spec/initContainers[]/image\n\
- - - + spec/template/spec/volumes[]/image/reference\n\
";

/// Where numbers of replicas stand.
pub(crate) const REPLICAS: &str = "\
- - Deployment + spec/replicas\n\
- - ReplicationController + spec/replicas\n\
- - ReplicaSet + spec/replicas\n\
- - StatefulSet + spec/replicas\n\
";

/// Where variables are replaced.
pub(crate) const VARIABLES: &str = "\
- - CronJob - spec/jobTemplate/spec/template/spec/containers/args\n\
- - CronJob - spec/jobTemplate/spec/template/spec/containers/command\n\
- - CronJob - spec/jobTemplate/spec/template/spec/containers/env/value\n\
- - CronJob - spec/jobTemplate/spec/template/spec/containers/volumeMounts/mountPath\n\
- - CronJob - spec/jobTemplate/spec/template/spec/initContainers/args\n\
- - CronJob - spec/jobTemplate/spec/template/spec/initContainers/command\n\
- - CronJob - spec/jobTemplate/spec/template/spec/initContainers/env/value\n\
- - CronJob - spec/jobTemplate/spec/template/spec/initContainers/volumeMounts/mountPath\n\
- - CronJob - spec/jobTemplate/spec/template/volumes/nfs/server\n\
- - DaemonSet - spec/template/spec/containers/args\n\
- - DaemonSet - spec/template/spec/containers/command\n\
- - DaemonSet - spec/template/spec/containers/env/value\n\
- - DaemonSet - spec/template/spec/containers/volumeMounts/mountPath\n\
- - DaemonSet - spec/template/spec/initContainers/args\n\
- - DaemonSet - spec/template/spec/initContainers/command\n\
- - DaemonSet - spec/template/spec/initContainers/env/value\n\
- - DaemonSet - spec/template/spec/initContainers/volumeMounts/mountPath\n\
- - DaemonSet - spec/template/spec/volumes/nfs/server\n\
- - Deployment - spec/template/spec/containers/args\n\
- - Deployment - spec/template/spec/containers/command\n\
- - Deployment - spec/template/spec/containers/env/value\n\
- - Deployment - spec/template/spec/containers/volumeMounts/mountPath\n\
- - Deployment - spec/template/spec/initContainers/args\n\
- - Deployment - spec/template/spec/initContainers/command\n\
- - Deployment - spec/template/spec/initContainers/env/value\n\
- - Deployment - spec/template/spec/initContainers/volumeMounts/mountPath\n\
- - Deployment - spec/template/spec/volumes/nfs/server\n\
- - Deployment - spec/template/metadata/annotations\n\
- - Ingress - spec/rules/host\n\
- - Ingress - spec/tls/hosts\n\
- - Ingress - spec/tls/secretName\n\
- - Job - spec/template/spec/containers/args\n\
- - Job - spec/template/spec/containers/command\n\
- - Job - spec/template/spec/containers/env/value\n\
- - Job - spec/template/spec/containers/volumeMounts/mountPath\n\
- - Job - spec/template/spec/initContainers/args\n\
- - Job - spec/template/spec/initContainers/command\n\
- - Job - spec/template/spec/initContainers/env/value\n\
- - Job - spec/template/spec/initContainers/volumeMounts/mountPath\n\
- - Job - spec/template/spec/volumes/nfs/server\n\
- - Pod - spec/containers/args\n\
- - Pod - spec/containers/command\n\
- - Pod - spec/containers/env/value\n\
- - Pod - spec/containers/volumeMounts/mountPath\n\
- - Pod - spec/initContainers/args\n\
- - Pod - spec/initContainers/command\n\
- - Pod - spec/initContainers/env/value\n\
- - Pod - spec/initContainers/volumeMounts/mountPath\n\
- - Pod - spec/volumes/nfs/server\n\
- - ReplicaSet - spec/template/spec/containers/args\n\
- - ReplicaSet - spec/template/spec/containers/command\n\
- - ReplicaSet - spec/template/spec/containers/env/value\n\
- - ReplicaSet - spec/template/spec/containers/volumeMounts/mountPath\n\
- - ReplicaSet - spec/template/spec/initContainers/args\n\
- - ReplicaSet - spec/template/spec/initContainers/command\n\
- - ReplicaSet - spec/template/spec/initContainers/env/value\n\
- - ReplicaSet - spec/template/spec/initContainers/volumeMounts/mountPath\n\
- - ReplicaSet - spec/template/spec/volumes/nfs/server\n\
- - Service - spec/ports/port\n\
- - Service - spec/ports/targetPort\n\
- - StatefulSet - spec/template/spec/containers/args\n\
- - StatefulSet - spec/template/spec/containers/command\n\
- - StatefulSet - spec/template/spec/containers/env/value\n\
- - StatefulSet - spec/template/spec/containers/volumeMounts/mountPath\n\
- - StatefulSet - spec/template/spec/initContainers/args\n\
- - StatefulSet - spec/template/spec/initContainers/command\n\
- - StatefulSet - spec/template/spec/initContainers/env/value\n\
- - StatefulSet - spec/template/spec/initContainers/volumeMounts/mountPath\n\
- - StatefulSet - spec/volumeClaimTemplates/spec/nfs/server\n\
- - PersistentVolume - spec/nfs/server\n\
- - - - metadata/labels\n\
- - - - metadata/annotations\n\
";

/// Who names whom: `= group version kind` of what is named, then where its name stands.
pub(crate) const NAME_REFERENCES: &str = "\
= - - Deployment\n\
- - HorizontalPodAutoscaler - spec/scaleTargetRef/name\n\
= - - ReplicationController\n\
- - HorizontalPodAutoscaler - spec/scaleTargetRef/name\n\
= - - ReplicaSet\n\
- - HorizontalPodAutoscaler - spec/scaleTargetRef/name\n\
= - - StatefulSet\n\
- - HorizontalPodAutoscaler - spec/scaleTargetRef/name\n\
= - v1 ConfigMap\n\
- v1 Pod - spec/volumes/configMap/name\n\
- v1 Pod - spec/containers/env/valueFrom/configMapKeyRef/name\n\
- v1 Pod - spec/initContainers/env/valueFrom/configMapKeyRef/name\n\
- v1 Pod - spec/containers/envFrom/configMapRef/name\n\
- v1 Pod - spec/initContainers/envFrom/configMapRef/name\n\
- v1 Pod - spec/volumes/projected/sources/configMap/name\n\
- - PodTemplate - template/spec/volumes/configMap/name\n\
- - PodTemplate - template/spec/containers/env/valueFrom/configMapKeyRef/name\n\
- - PodTemplate - template/spec/initContainers/env/valueFrom/configMapKeyRef/name\n\
- - PodTemplate - template/spec/containers/envFrom/configMapRef/name\n\
- - PodTemplate - template/spec/initContainers/envFrom/configMapRef/name\n\
- - PodTemplate - template/spec/volumes/projected/sources/configMap/name\n\
- - Deployment - spec/template/spec/volumes/configMap/name\n\
- - Deployment - spec/template/spec/containers/env/valueFrom/configMapKeyRef/name\n\
- - Deployment - spec/template/spec/initContainers/env/valueFrom/configMapKeyRef/name\n\
- - Deployment - spec/template/spec/containers/envFrom/configMapRef/name\n\
- - Deployment - spec/template/spec/initContainers/envFrom/configMapRef/name\n\
- - Deployment - spec/template/spec/volumes/projected/sources/configMap/name\n\
- - ReplicaSet - spec/template/spec/volumes/configMap/name\n\
- - ReplicaSet - spec/template/spec/containers/env/valueFrom/configMapKeyRef/name\n\
- - ReplicaSet - spec/template/spec/initContainers/env/valueFrom/configMapKeyRef/name\n\
- - ReplicaSet - spec/template/spec/containers/envFrom/configMapRef/name\n\
- - ReplicaSet - spec/template/spec/initContainers/envFrom/configMapRef/name\n\
- - ReplicaSet - spec/template/spec/volumes/projected/sources/configMap/name\n\
- - DaemonSet - spec/template/spec/volumes/configMap/name\n\
- - DaemonSet - spec/template/spec/containers/env/valueFrom/configMapKeyRef/name\n\
- - DaemonSet - spec/template/spec/initContainers/env/valueFrom/configMapKeyRef/name\n\
- - DaemonSet - spec/template/spec/containers/envFrom/configMapRef/name\n\
- - DaemonSet - spec/template/spec/initContainers/envFrom/configMapRef/name\n\
- - DaemonSet - spec/template/spec/volumes/projected/sources/configMap/name\n\
- - StatefulSet - spec/template/spec/volumes/configMap/name\n\
- - StatefulSet - spec/template/spec/containers/env/valueFrom/configMapKeyRef/name\n\
- - StatefulSet - spec/template/spec/initContainers/env/valueFrom/configMapKeyRef/name\n\
- - StatefulSet - spec/template/spec/containers/envFrom/configMapRef/name\n\
- - StatefulSet - spec/template/spec/initContainers/envFrom/configMapRef/name\n\
- - StatefulSet - spec/template/spec/volumes/projected/sources/configMap/name\n\
- - Job - spec/template/spec/volumes/configMap/name\n\
- - Job - spec/template/spec/containers/env/valueFrom/configMapKeyRef/name\n\
- - Job - spec/template/spec/initContainers/env/valueFrom/configMapKeyRef/name\n\
- - Job - spec/template/spec/containers/envFrom/configMapRef/name\n\
- - Job - spec/template/spec/initContainers/envFrom/configMapRef/name\n\
- - Job - spec/template/spec/volumes/projected/sources/configMap/name\n\
- - CronJob - spec/jobTemplate/spec/template/spec/volumes/configMap/name\n\
- - CronJob - spec/jobTemplate/spec/template/spec/volumes/projected/sources/configMap/name\n\
- - CronJob - spec/jobTemplate/spec/template/spec/containers/env/valueFrom/configMapKeyRef/name\n\
- - CronJob - spec/jobTemplate/spec/template/spec/initContainers/env/valueFrom/configMapKeyRef/name\n\
- - CronJob - spec/jobTemplate/spec/template/spec/containers/envFrom/configMapRef/name\n\
- - CronJob - spec/jobTemplate/spec/template/spec/initContainers/envFrom/configMapRef/name\n\
- - Node - spec/configSource/configMap\n\
- - Role - rules/resourceNames\n\
- - ClusterRole - rules/resourceNames\n\
- - Ingress - metadata/annotations/nginx.ingress.kubernetes.io\\/fastcgi-params-configmap\n\
= - v1 Secret\n\
- v1 Pod - spec/volumes/secret/secretName\n\
- v1 Pod - spec/containers/env/valueFrom/secretKeyRef/name\n\
- v1 Pod - spec/initContainers/env/valueFrom/secretKeyRef/name\n\
- v1 Pod - spec/containers/envFrom/secretRef/name\n\
- v1 Pod - spec/initContainers/envFrom/secretRef/name\n\
- v1 Pod - spec/imagePullSecrets/name\n\
- v1 Pod - spec/volumes/projected/sources/secret/name\n\
- - PodTemplate - template/spec/volumes/secret/secretName\n\
- - PodTemplate - template/spec/containers/env/valueFrom/secretKeyRef/name\n\
- - PodTemplate - template/spec/initContainers/env/valueFrom/secretKeyRef/name\n\
- - PodTemplate - template/spec/containers/envFrom/secretRef/name\n\
- - PodTemplate - template/spec/initContainers/envFrom/secretRef/name\n\
- - PodTemplate - template/spec/imagePullSecrets/name\n\
- - PodTemplate - template/spec/volumes/projected/sources/secret/name\n\
- - Deployment - spec/template/spec/volumes/secret/secretName\n\
- - Deployment - spec/template/spec/containers/env/valueFrom/secretKeyRef/name\n\
- - Deployment - spec/template/spec/initContainers/env/valueFrom/secretKeyRef/name\n\
- - Deployment - spec/template/spec/containers/envFrom/secretRef/name\n\
- - Deployment - spec/template/spec/initContainers/envFrom/secretRef/name\n\
- - Deployment - spec/template/spec/imagePullSecrets/name\n\
- - Deployment - spec/template/spec/volumes/projected/sources/secret/name\n\
- - ReplicaSet - spec/template/spec/volumes/secret/secretName\n\
- - ReplicaSet - spec/template/spec/containers/env/valueFrom/secretKeyRef/name\n\
- - ReplicaSet - spec/template/spec/initContainers/env/valueFrom/secretKeyRef/name\n\
- - ReplicaSet - spec/template/spec/containers/envFrom/secretRef/name\n\
- - ReplicaSet - spec/template/spec/initContainers/envFrom/secretRef/name\n\
- - ReplicaSet - spec/template/spec/imagePullSecrets/name\n\
- - ReplicaSet - spec/template/spec/volumes/projected/sources/secret/name\n\
- - DaemonSet - spec/template/spec/volumes/secret/secretName\n\
- - DaemonSet - spec/template/spec/containers/env/valueFrom/secretKeyRef/name\n\
- - DaemonSet - spec/template/spec/initContainers/env/valueFrom/secretKeyRef/name\n\
- - DaemonSet - spec/template/spec/containers/envFrom/secretRef/name\n\
- - DaemonSet - spec/template/spec/initContainers/envFrom/secretRef/name\n\
- - DaemonSet - spec/template/spec/imagePullSecrets/name\n\
- - DaemonSet - spec/template/spec/volumes/projected/sources/secret/name\n\
- - StatefulSet - spec/template/spec/volumes/secret/secretName\n\
- - StatefulSet - spec/template/spec/containers/env/valueFrom/secretKeyRef/name\n\
- - StatefulSet - spec/template/spec/initContainers/env/valueFrom/secretKeyRef/name\n\
- - StatefulSet - spec/template/spec/containers/envFrom/secretRef/name\n\
- - StatefulSet - spec/template/spec/initContainers/envFrom/secretRef/name\n\
- - StatefulSet - spec/template/spec/imagePullSecrets/name\n\
- - StatefulSet - spec/template/spec/volumes/projected/sources/secret/name\n\
- - Job - spec/template/spec/volumes/secret/secretName\n\
- - Job - spec/template/spec/containers/env/valueFrom/secretKeyRef/name\n\
- - Job - spec/template/spec/initContainers/env/valueFrom/secretKeyRef/name\n\
- - Job - spec/template/spec/containers/envFrom/secretRef/name\n\
- - Job - spec/template/spec/initContainers/envFrom/secretRef/name\n\
- - Job - spec/template/spec/imagePullSecrets/name\n\
- - Job - spec/template/spec/volumes/projected/sources/secret/name\n\
- - CronJob - spec/jobTemplate/spec/template/spec/volumes/secret/secretName\n\
- - CronJob - spec/jobTemplate/spec/template/spec/volumes/projected/sources/secret/name\n\
- - CronJob - spec/jobTemplate/spec/template/spec/containers/env/valueFrom/secretKeyRef/name\n\
- - CronJob - spec/jobTemplate/spec/template/spec/initContainers/env/valueFrom/secretKeyRef/name\n\
- - CronJob - spec/jobTemplate/spec/template/spec/containers/envFrom/secretRef/name\n\
- - CronJob - spec/jobTemplate/spec/template/spec/initContainers/envFrom/secretRef/name\n\
- - CronJob - spec/jobTemplate/spec/template/spec/imagePullSecrets/name\n\
- - Ingress - spec/tls/secretName\n\
- - Ingress - metadata/annotations/ingress.kubernetes.io\\/auth-secret\n\
- - Ingress - metadata/annotations/nginx.ingress.kubernetes.io\\/auth-secret\n\
- - Ingress - metadata/annotations/nginx.ingress.kubernetes.io\\/auth-tls-secret\n\
- - Ingress - spec/tls/secretName\n\
- - ServiceAccount - imagePullSecrets/name\n\
- - StorageClass - parameters/secretName\n\
- - StorageClass - parameters/adminSecretName\n\
- - StorageClass - parameters/userSecretName\n\
- - StorageClass - parameters/secretRef\n\
- - Role - rules/resourceNames\n\
- - ClusterRole - rules/resourceNames\n\
serving.knative.dev v1 Service - spec/template/spec/containers/env/valueFrom/secretKeyRef/name\n\
- - PersistentVolume - spec/azureFile/secretName\n\
= - v1 Service\n\
apps - StatefulSet - spec/serviceName\n\
- - Ingress - spec/rules/http/paths/backend/serviceName\n\
- - Ingress - spec/backend/serviceName\n\
- - Ingress - spec/rules/http/paths/backend/service/name\n\
- - Ingress - spec/defaultBackend/service/name\n\
apiregistration.k8s.io - APIService - spec/service/name\n\
admissionregistration.k8s.io - ValidatingWebhookConfiguration - webhooks/clientConfig/service\n\
admissionregistration.k8s.io - MutatingWebhookConfiguration - webhooks/clientConfig/service\n\
= rbac.authorization.k8s.io - Role\n\
rbac.authorization.k8s.io - RoleBinding - roleRef/name\n\
= rbac.authorization.k8s.io - ClusterRole\n\
rbac.authorization.k8s.io - RoleBinding - roleRef/name\n\
rbac.authorization.k8s.io - ClusterRoleBinding - roleRef/name\n\
= - v1 ServiceAccount\n\
rbac.authorization.k8s.io - RoleBinding - subjects\n\
rbac.authorization.k8s.io - ClusterRoleBinding - subjects\n\
- - Pod - spec/serviceAccountName\n\
- - StatefulSet - spec/template/spec/serviceAccountName\n\
- - Deployment - spec/template/spec/serviceAccountName\n\
- - ReplicationController - spec/template/spec/serviceAccountName\n\
- - CronJob - spec/jobTemplate/spec/template/spec/serviceAccountName\n\
- - Job - spec/template/spec/serviceAccountName\n\
- - DaemonSet - spec/template/spec/serviceAccountName\n\
= - v1 PersistentVolumeClaim\n\
- - Pod - spec/volumes/persistentVolumeClaim/claimName\n\
- - StatefulSet - spec/template/spec/volumes/persistentVolumeClaim/claimName\n\
- - Deployment - spec/template/spec/volumes/persistentVolumeClaim/claimName\n\
- - ReplicationController - spec/template/spec/volumes/persistentVolumeClaim/claimName\n\
- - CronJob - spec/jobTemplate/spec/template/spec/volumes/persistentVolumeClaim/claimName\n\
- - Job - spec/template/spec/volumes/persistentVolumeClaim/claimName\n\
- - DaemonSet - spec/template/spec/volumes/persistentVolumeClaim/claimName\n\
= - v1 PersistentVolume\n\
- - PersistentVolumeClaim - spec/volumeName\n\
- - ClusterRole - rules/resourceNames\n\
= storage.k8s.io v1 StorageClass\n\
- - PersistentVolume - spec/storageClassName\n\
- - PersistentVolumeClaim - spec/storageClassName\n\
- - StatefulSet - spec/volumeClaimTemplates/spec/storageClassName\n\
= scheduling.k8s.io v1 PriorityClass\n\
- - Pod - spec/priorityClassName\n\
- - StatefulSet - spec/template/spec/priorityClassName\n\
- - Deployment - spec/template/spec/priorityClassName\n\
- - ReplicationController - spec/template/spec/priorityClassName\n\
- - CronJob - spec/jobTemplate/spec/template/spec/priorityClassName\n\
- - Job - spec/template/spec/priorityClassName\n\
- - DaemonSet - spec/template/spec/priorityClassName\n\
= networking.k8s.io/v1 v1 IngressClass\n\
- - Ingress - spec/ingressClassName\n\
= admissionregistration.k8s.io - ValidatingAdmissionPolicy\n\
admissionregistration.k8s.io - ValidatingAdmissionPolicyBinding - spec/policyName\n\
";
