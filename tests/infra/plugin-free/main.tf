# The shape of ../../../pipeline/infra/tofu without its provider: `terraform_data` runs a small program that asks the
# OpenStack API. For testing what drives the tools, where the provider cannot be had. Not a way to run a cluster.

terraform {
  required_version = ">= 1.6.0"
}

variable "suffix" {
  description = "Ends every name."
  type        = string
  default     = "test"
  validation {
    condition     = can(regex("^[a-z0-9-]{1,32}$", var.suffix))
    error_message = "The suffix is 1 to 32 lower-case letters, digits and hyphens."
  }
}

variable "nodes" {
  description = "Private addresses of the servers, by name."
  type        = map(object({ address = string, role = optional(string, "control-plane") }))
  default = {
    node1 = { address = "192.168.1.11" }
    node2 = { address = "192.168.1.12" }
    node3 = { address = "192.168.1.13" }
  }
}

variable "private_cidr" {
  description = "Private network."
  type        = string
  default     = "192.168.1.0/24"
}

variable "image" {
  description = "Image, by name."
  type        = string
  default     = "CC-Ubuntu24.04"
}

variable "flavor" {
  description = "Flavour, by name. A change replaces the servers."
  type        = string
  default     = "m1.large"
}

variable "shared_network" {
  description = "Network to the world, by name."
  type        = string
  default     = "sharednet1"
}

variable "key_pair" {
  description = "Key pair, by name."
  type        = string
  default     = "id_rsa_chameleon"
}

variable "security_groups" {
  description = "Security groups, by name. A change is applied to the ports as they are."
  type        = set(string)
  default     = ["allow-ssh", "allow-http-80"]
}

variable "facts_dir" {
  description = "Folder for what the API answered; beside the state, not in it."
  type        = string
}

variable "python" {
  description = "Python with PyYAML, to run cloud.py with."
  type        = string
  default     = "python3"
}

variable "pause" {
  description = "Seconds that each request for a server is held back, so that a test can interrupt it."
  type        = number
  default     = 0
}

locals {
  name    = "plugin-free-${var.suffix}"
  run     = "${var.python} '${path.module}/cloud.py'"
  program = { run = local.run, facts = abspath(var.facts_dir), cluster = local.name }
}

resource "terraform_data" "network" {
  input            = merge(local.program, { cidr = var.private_cidr })
  triggers_replace = [var.private_cidr]

  provisioner "local-exec" {
    command     = "${self.input.run} create network"
    environment = { GALLEY_CLOUD_REQUEST = jsonencode(self.input) }
  }
  provisioner "local-exec" {
    when        = destroy
    command     = "${self.input.run} delete network"
    environment = { GALLEY_CLOUD_REQUEST = jsonencode(self.input) }
  }
}

resource "terraform_data" "ports" {
  for_each = var.nodes

  input = merge(local.program, {
    node = each.key, address = each.value.address, shared_network = var.shared_network
  })
  triggers_replace = [each.value.address, terraform_data.network.id]

  provisioner "local-exec" {
    command     = "${self.input.run} create ports"
    environment = { GALLEY_CLOUD_REQUEST = jsonencode(self.input) }
  }
  provisioner "local-exec" {
    when        = destroy
    command     = "${self.input.run} delete ports"
    environment = { GALLEY_CLOUD_REQUEST = jsonencode(self.input) }
  }

  lifecycle {
    precondition {
      condition     = cidrhost("${each.value.address}/${split("/", var.private_cidr)[1]}", 0) == cidrhost(var.private_cidr, 0)
      error_message = "${each.key}'s address ${each.value.address} is not in ${var.private_cidr}."
    }
  }
}

resource "terraform_data" "groups" {
  for_each = var.nodes

  input            = merge(local.program, { node = each.key, groups = sort(var.security_groups) })
  triggers_replace = [sort(var.security_groups), terraform_data.ports[each.key].id]

  provisioner "local-exec" {
    command     = "${self.input.run} create groups"
    environment = { GALLEY_CLOUD_REQUEST = jsonencode(self.input) }
  }
}

resource "terraform_data" "node" {
  for_each = var.nodes

  input = merge(local.program, {
    node = each.key, image = var.image, flavor = var.flavor, key_pair = var.key_pair, pause = var.pause
  })
  triggers_replace = [var.image, var.flavor, var.key_pair, terraform_data.ports[each.key].id]

  provisioner "local-exec" {
    command     = "${self.input.run} create server"
    environment = { GALLEY_CLOUD_REQUEST = jsonencode(self.input) }
  }
  provisioner "local-exec" {
    when        = destroy
    command     = "${self.input.run} delete server"
    environment = { GALLEY_CLOUD_REQUEST = jsonencode(self.input) }
  }
}

resource "terraform_data" "floating_ip" {
  input            = merge(local.program, { node = "node1", pool = "public" })
  triggers_replace = [terraform_data.ports["node1"].id]

  provisioner "local-exec" {
    command     = "${self.input.run} create floating-ip"
    environment = { GALLEY_CLOUD_REQUEST = jsonencode(self.input) }
  }
  provisioner "local-exec" {
    when        = destroy
    command     = "${self.input.run} delete floating-ip"
    environment = { GALLEY_CLOUD_REQUEST = jsonencode(self.input) }
  }
}

# `output` of a terraform_data is known once it has been created, so the files are read after they were written.
output "floating_ip" {
  description = "Public address of the cluster."
  value       = jsondecode(file("${terraform_data.floating_ip.output.facts}/floating-ip.json")).address
}

output "nodes" {
  description = "The servers."
  value = {
    for name, node in var.nodes : name => merge(
      jsondecode(file("${terraform_data.node[name].output.facts}/server-${name}.json")),
      { role = node.role, private_address = node.address },
    )
  }
}

output "inventory" {
  description = "Ansible's inventory, as JSON."
  value = {
    all = {
      children = ["kube_control_plane", "kube_worker", "kube_gpu"]
      vars = {
        ansible_user     = "cc"
        galley_cluster   = local.name
        galley_public_ip = jsondecode(file("${terraform_data.floating_ip.output.facts}/floating-ip.json")).address
        galley_jump_host = "node1"
        node_cidr        = var.private_cidr
      }
    }
    kube_control_plane = { hosts = sort([for name, node in var.nodes : name if node.role == "control-plane"]) }
    kube_worker        = { hosts = sort([for name, node in var.nodes : name if node.role == "worker"]) }
    kube_gpu           = { hosts = sort([for name, node in var.nodes : name if node.role == "gpu"]) }
    _meta              = { hostvars = { for name, node in var.nodes : name => { ansible_host = node.address, node_address = node.address } } }
  }
}
