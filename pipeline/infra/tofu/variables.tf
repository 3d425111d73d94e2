# Rules about one variable stand beside it; rules about several stand in `checks.tf`, since a validation may look
# at other variables only from OpenTofu and Terraform 1.9 on.

variable "cloud" {
  description = "Entry of clouds.yaml that holds the credentials."
  type        = string
  default     = "openstack"
  nullable    = false
}

variable "region" {
  description = "Region of the cloud; null takes the one that clouds.yaml names."
  type        = string
  default     = null
}

variable "suffix" {
  description = "Ends every name in the project, so that several people or clusters can share it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$", var.suffix))
    error_message = "The suffix is 1 to 32 lower-case letters, digits and hyphens, with no hyphen at either end."
  }
}

variable "nodes" {
  description = <<-TEXT
    The servers, by name. `address` lies in `private_cidr`. `role` is control-plane (which also carries work), worker
    or gpu. `flavor`, `image`, `reservation_id` and `host_reservation_id` replace the settings of the same name.
    Adding an entry adds a server and touches no other.
  TEXT
  type = map(object({
    address             = string
    role                = optional(string, "control-plane")
    flavor              = optional(string)
    image               = optional(string)
    reservation_id      = optional(string)
    host_reservation_id = optional(string)
  }))
  default = {
    node1 = { address = "192.168.1.11" }
    node2 = { address = "192.168.1.12" }
    node3 = { address = "192.168.1.13" }
  }
  nullable = false

  validation {
    condition     = alltrue([for name in keys(var.nodes) : can(regex("^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$", name))])
    error_message = "A node's name is a host name: 1 to 32 lower-case letters, digits and hyphens, beginning with a letter."
  }
  validation {
    condition     = alltrue([for node in values(var.nodes) : can(cidrhost("${node.address}/32", 0))])
    error_message = "A node's address is an IPv4 address such as 192.168.1.11."
  }
  validation {
    condition     = length(distinct([for node in values(var.nodes) : node.address])) == length(var.nodes)
    error_message = "Two nodes have the same address."
  }
  validation {
    condition     = alltrue([for node in values(var.nodes) : contains(["control-plane", "worker", "gpu"], node.role)])
    error_message = "A node's role is control-plane, worker or gpu."
  }
  validation {
    condition     = length([for node in values(var.nodes) : node if node.role == "control-plane"]) % 2 == 1
    error_message = "The number of control planes is odd (1, 3 or 5): an even number survives no more losses than one less."
  }
}

variable "floating_ip_node" {
  description = "Node that gets the floating IP; null takes the first control plane by name."
  type        = string
  default     = null
}

variable "private_cidr" {
  description = "The nodes' private network. Its last quarter is kept for the cloud's own ports (DHCP)."
  type        = string
  default     = "192.168.1.0/24"
  nullable    = false

  validation {
    condition     = can(regex("^[0-9.]+/(1[6-9]|2[0-7])$", var.private_cidr)) && can(cidrhost(var.private_cidr, 0))
    error_message = "The private network is an IPv4 range between /16 and /27, such as 192.168.1.0/24."
  }
}

variable "shared_network" {
  description = "Existing network through which the servers reach the world, by name or id."
  type        = string
  default     = "sharednet1"
  nullable    = false
}

variable "floating_ip_pool" {
  description = "External network that floating IPs are taken from, by name."
  type        = string
  default     = "public"
  nullable    = false
}

variable "image" {
  description = "Image of the servers, by name or id. Of several with one name the newest is taken."
  type        = string
  default     = "CC-Ubuntu24.04"
  nullable    = false
}

variable "flavor" {
  description = "Flavour of the servers, by name or id. Not looked at for nodes with a reservation."
  type        = string
  default     = "m1.large"
  nullable    = false
}

variable "reservation_id" {
  description = "Reservation of instances (a lease): the reserved flavour has this id. Null for none."
  type        = string
  default     = null

  validation {
    condition     = var.reservation_id == null || can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.reservation_id))
    error_message = "A reservation's id is a UUID. The lease's details show it under `reservations`."
  }
}

variable "host_reservation_id" {
  description = "Reservation of whole hosts (a lease): given to the scheduler as the hint `reservation`. Null for none."
  type        = string
  default     = null

  validation {
    condition     = var.host_reservation_id == null || can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.host_reservation_id))
    error_message = "A reservation's id is a UUID. The lease's details show it under `reservations`."
  }
}

variable "key_pair" {
  description = "Existing key pair that may log in, by name. Not looked at when `ssh_public_key` is given."
  type        = string
  default     = "id_rsa_chameleon"
  nullable    = false
}

variable "ssh_public_key" {
  description = "Public key to make a key pair from; null uses the existing one."
  type        = string
  default     = null

  validation {
    condition     = var.ssh_public_key == null || can(regex("^(ssh-(ed25519|rsa)|ecdsa-sha2-nistp[0-9]+|sk-[a-z0-9@.-]+) [A-Za-z0-9+/=]+( .*)?$", var.ssh_public_key))
    error_message = "This is not a public key in OpenSSH's form (`ssh-ed25519 AAAA... comment`). Never give a private key."
  }
}

variable "ssh_authorized_keys" {
  description = "More public keys that may log in, for colleagues. Read at a server's first boot."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for key in var.ssh_authorized_keys : can(regex("^(ssh-|ecdsa-|sk-)[^\n]+$", key))])
    error_message = "Every entry is one public key in OpenSSH's form."
  }
}

variable "ssh_user" {
  description = "User that the image lets in."
  type        = string
  default     = "cc"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z_][a-z0-9_-]{0,31}$", var.ssh_user))
    error_message = "This is not a user name."
  }
}

variable "security_groups" {
  description = "Existing security groups of the servers, by name. Empty creates one from the settings below."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "ssh_cidrs" {
  description = "Where ssh may come from, when a security group is created: your own address with /32, at best."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for cidr in var.ssh_cidrs : can(cidrsubnet(cidr, 0, 0))])
    error_message = "Every entry is a range such as 198.51.100.7/32."
  }
}

variable "app_ports" {
  description = "Ports of the application, when a security group is created: the split at 80, production, canary, staging."
  type        = set(number)
  default     = [80, 8080, 8081, 8082]
  nullable    = false

  validation {
    condition     = alltrue([for port in var.app_ports : port >= 1 && port <= 65535 && floor(port) == port && port != 22])
    error_message = "A port is a whole number between 1 and 65535; 22 is opened by `ssh_cidrs`."
  }
}

variable "app_cidrs" {
  description = "Where the application may be reached from, when a security group is created."
  type        = list(string)
  default     = ["0.0.0.0/0"]
  nullable    = false

  validation {
    condition     = alltrue([for cidr in var.app_cidrs : can(cidrsubnet(cidr, 0, 0))])
    error_message = "Every entry is a range such as 0.0.0.0/0."
  }
}

variable "spread" {
  description = "Ask the scheduler to put control planes on different hosts where it can."
  type        = bool
  default     = true
  nullable    = false
}

variable "check_quota" {
  description = "Compare the project's limits with what is asked for before anything is created."
  type        = bool
  default     = true
  nullable    = false
}
