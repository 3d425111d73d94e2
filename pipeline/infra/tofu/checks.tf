# What must be true of several settings at once, and of the project, before anything is created. A precondition
# that fails stops the plan.

locals {
  private_size = pow(2, 32 - tonumber(split("/", var.private_cidr)[1]))
  private_base = [for octet in split(".", cidrhost(var.private_cidr, 0)) : tonumber(octet)]
  # The last quarter of the private network is the cloud's (its DHCP ports take addresses from there).
  private_pool = local.private_size - floor(local.private_size / 4) - 1

  # An address's place in the private network: 11 for 192.168.1.11 in 192.168.1.0/24. Negative or too large: outside.
  host_numbers = {
    for name, node in var.nodes : name => sum([
      for i, octet in split(".", node.address) : (tonumber(octet) - local.private_base[i]) * pow(256, 3 - i)
    ])
  }
  misplaced = sort([for name, number in local.host_numbers : name if number < 2 || number >= local.private_pool])

  checked_quota = var.check_quota && alltrue([for id in values(local.reservations) : id == null])
  wanted_cores  = sum([for name in keys(var.nodes) : coalesce(data.openstack_compute_flavor_v2.this[local.node_flavors[name]].vcpus, 0)])
  wanted_ram    = sum([for name in keys(var.nodes) : coalesce(data.openstack_compute_flavor_v2.this[local.node_flavors[name]].ram, 0)])
}

data "openstack_identity_auth_scope_v3" "this" {
  count = local.checked_quota ? 1 : 0

  name = "galley"
}

# The limits alone, not what is used: what is used includes this very cluster once it is there.
data "openstack_compute_quotaset_v2" "this" {
  count = local.checked_quota ? 1 : 0

  project_id = data.openstack_identity_auth_scope_v3.this[0].project_id
}

resource "terraform_data" "checks" {
  input = local.name

  lifecycle {
    precondition {
      condition     = length(local.misplaced) == 0
      error_message = "These nodes' addresses are outside ${cidrhost(var.private_cidr, 2)} to ${cidrhost(var.private_cidr, local.private_pool - 1)}, which ${var.private_cidr} has for nodes: ${join(", ", local.misplaced)}."
    }
    precondition {
      condition     = contains(keys(var.nodes), local.floating_ip_node)
      error_message = "floating_ip_node names ${local.floating_ip_node}, which is not among the nodes: ${join(", ", keys(var.nodes))}."
    }
    precondition {
      condition     = length(var.security_groups) > 0 || length(var.ssh_cidrs) > 0
      error_message = "Nobody could log in: give ssh_cidrs (your own address, such as [\"198.51.100.7/32\"]) or the names of existing security_groups."
    }
    precondition {
      condition     = alltrue([for id in values(local.image_ids) : id != null])
      error_message = "No image has the name ${join(" or ", distinct(sort([for name, id in local.image_ids : local.node_images[name] if id == null])))}. `openstack image list` shows those there are."
    }
    precondition {
      condition = !local.checked_quota || try(
        data.openstack_compute_quotaset_v2.this[0].instances < 0 || data.openstack_compute_quotaset_v2.this[0].instances >= length(var.nodes), true
      )
      error_message = "The project may have ${try(data.openstack_compute_quotaset_v2.this[0].instances, "?")} servers and ${length(var.nodes)} are asked for. Ask for a larger quota, or name fewer nodes."
    }
    precondition {
      condition = !local.checked_quota || try(
        data.openstack_compute_quotaset_v2.this[0].cores < 0 || data.openstack_compute_quotaset_v2.this[0].cores >= local.wanted_cores, true
      )
      error_message = "The project may use ${try(data.openstack_compute_quotaset_v2.this[0].cores, "?")} cores and the nodes have ${try(local.wanted_cores, "?")}. Choose a smaller flavour, or ask for a larger quota."
    }
    precondition {
      condition = !local.checked_quota || try(
        data.openstack_compute_quotaset_v2.this[0].ram < 0 || data.openstack_compute_quotaset_v2.this[0].ram >= local.wanted_ram, true
      )
      error_message = "The project may use ${try(data.openstack_compute_quotaset_v2.this[0].ram, "?")} MB of memory and the nodes have ${try(local.wanted_ram, "?")}. Choose a smaller flavour, or ask for a larger quota."
    }
  }
}
