output "floating_ip" {
  description = "Public address of the cluster."
  value       = openstack_networking_floatingip_v2.this.address
}

output "nodes" {
  description = "The servers: what they are called in the cloud, where they are reached, what they are made of."
  value = {
    for name, node in var.nodes : name => {
      id              = openstack_compute_instance_v2.node[name].id
      server          = openstack_compute_instance_v2.node[name].name
      role            = node.role
      private_address = node.address
      shared_address  = openstack_networking_port_v2.shared[name].all_fixed_ips[0]
      floating_ip     = name == local.floating_ip_node ? openstack_networking_floatingip_v2.this.address : null
      flavor          = local.node_flavors[name]
      image           = local.node_images[name]
    }
  }
}

# The shape of an Ansible inventory. `../ansible/inventory/tofu.py` adds how the nodes are reached from here.
output "inventory" {
  description = "Ansible's inventory, as JSON: groups by role, and of each node its address and labels."
  value = {
    all = {
      children = ["kube_control_plane", "kube_worker", "kube_gpu"]
      vars = {
        ansible_user     = var.ssh_user
        galley_cluster   = local.name
        galley_public_ip = openstack_networking_floatingip_v2.this.address
        galley_jump_host = local.floating_ip_node
        node_cidr        = var.private_cidr
      }
    }
    kube_control_plane = { hosts = local.control_planes }
    kube_worker        = { hosts = sort([for name, node in var.nodes : name if node.role == "worker"]) }
    kube_gpu           = { hosts = sort([for name, node in var.nodes : name if node.role == "gpu"]) }
    _meta = {
      hostvars = {
        for name, node in var.nodes : name => {
          ansible_host   = node.address
          node_address   = node.address
          shared_address = openstack_networking_port_v2.shared[name].all_fixed_ips[0]
          server_id      = openstack_compute_instance_v2.node[name].id
        }
      }
    }
  }
}
