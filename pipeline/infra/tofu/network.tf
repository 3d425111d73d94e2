# Two networks: a private one that only these servers are on, for everything between them, and the shared one of
# the site, for everything else.

resource "openstack_networking_network_v2" "private" {
  name        = "private-${local.name}"
  description = "Between the nodes of ${local.name}"
  # Nobody else is on it and no router leads to it. Pods have addresses of their own, which port security would drop.
  port_security_enabled = false

  depends_on = [terraform_data.checks]
}

resource "openstack_networking_subnet_v2" "private" {
  name       = "private-${local.name}"
  network_id = openstack_networking_network_v2.private.id
  cidr       = var.private_cidr
  ip_version = 4
  no_gateway = true
  # 0.0.0.0 has DHCP announce no name server: the one of a network without a way out would answer nothing.
  dns_nameservers = ["0.0.0.0"]

  allocation_pool {
    start = cidrhost(var.private_cidr, local.private_pool)
    end   = cidrhost(var.private_cidr, local.private_size - 2)
  }
}

resource "openstack_networking_port_v2" "private" {
  for_each = var.nodes

  name                  = "private-${each.key}-${local.name}"
  network_id            = openstack_networking_network_v2.private.id
  port_security_enabled = false

  fixed_ip {
    subnet_id  = openstack_networking_subnet_v2.private.id
    ip_address = each.value.address
  }
}

data "openstack_networking_network_v2" "shared" {
  network_id = can(regex(local.uuid, var.shared_network)) ? var.shared_network : null
  name       = can(regex(local.uuid, var.shared_network)) ? null : var.shared_network
}

resource "openstack_networking_port_v2" "shared" {
  for_each = var.nodes

  name               = "shared-${each.key}-${local.name}"
  network_id         = data.openstack_networking_network_v2.shared.id
  security_group_ids = local.security_group_ids

  depends_on = [terraform_data.checks]
}

# Bound to the port and not to the server: replacing the server keeps the address.
resource "openstack_networking_floatingip_v2" "this" {
  pool        = var.floating_ip_pool
  description = "${local.floating_ip_node} of ${local.name}"
  port_id     = openstack_networking_port_v2.shared[local.floating_ip_node].id
}
