# Rules of the shared network. The private one has none: only the nodes are on it.

locals {
  create_security_group = length(var.security_groups) == 0
  security_group_ids = local.create_security_group ? [openstack_networking_secgroup_v2.this[0].id] : [
    for name in var.security_groups : data.openstack_networking_secgroup_v2.existing[name].id
  ]

  # Everything that may come in, one entry a rule: "22 from 198.51.100.7/32".
  ingress = merge(
    { for cidr in var.ssh_cidrs : "22 from ${cidr}" => { port = 22, cidr = cidr } },
    { for pair in setproduct(var.app_ports, var.app_cidrs) : "${pair[0]} from ${pair[1]}" => { port = tonumber(pair[0]), cidr = pair[1] } },
  )
}

data "openstack_networking_secgroup_v2" "existing" {
  for_each = toset(var.security_groups)

  name = each.value
}

# The cloud adds rules that let everything out; nothing comes in but what follows.
resource "openstack_networking_secgroup_v2" "this" {
  count = local.create_security_group ? 1 : 0

  name        = local.name
  description = "ssh and the application of ${local.name}"

  depends_on = [terraform_data.checks]
}

resource "openstack_networking_secgroup_rule_v2" "ingress" {
  for_each = local.create_security_group ? local.ingress : {}

  description       = each.key
  direction         = "ingress"
  ethertype         = strcontains(each.value.cidr, ":") ? "IPv6" : "IPv4"
  protocol          = "tcp"
  port_range_min    = each.value.port
  port_range_max    = each.value.port
  remote_ip_prefix  = each.value.cidr
  security_group_id = openstack_networking_secgroup_v2.this[0].id
}
